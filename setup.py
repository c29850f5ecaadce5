"""Which packages are installed; everything else about the build is in pyproject.toml.

The folders exporters/ and hw_configs/ lie beside lavaghost/ and are installed inside it, because
such general names do not belong in a user's site-packages.
"""

from setuptools import find_packages, setup

FOLDERS = {"lavaghost.exporters": "exporters", "lavaghost.hw_configs": "hw_configs"}
INSIDE = [f"lavaghost.exporters.{name}" for name in find_packages("exporters")]

setup(
    packages=["lavaghost", *find_packages(include=["lavaghost.*"]), *FOLDERS, *INSIDE],
    package_dir=FOLDERS,
)
