"""LavaGhost: ghost-unit learning as one model, from float training to Lava and exported files."""

__version__ = "0.1.0"
