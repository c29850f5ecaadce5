"""Export a trained network to ONNX, and let a runtime that is not ours confirm it on real data."""

import sys
from pathlib import Path

from lavaghost.datasets import load
from lavaghost.exporters import base
from lavaghost.model.model import Model
from lavaghost.net.spec import Learning, Network
from lavaghost.run.pipeline import train_and_save, verify_export

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-3")
digits = load("digits")
network = Network(layers=(64, 64, 32, 10), mechanism="online")
_, path = train_and_save(network, Learning(rule="temporal", epochs=10), digits, out)

trained = Model.load(path)
report = base.export(trained, base.find("onnx"), out / "digits.onnx")
for element, status, note in report.carries:
    print(f"{element:14s} {status:12s} {note}")
agreement = verify_export(report.paths[0], trained, digits)
print(
    f"\n{agreement.runtime}: {100 * agreement.accuracy:.2f} %, ours {100 * agreement.reference_accuracy:.2f} %"
)
print(
    f"labels agree on {100 * agreement.label_agreement:.2f} %, largest difference {agreement.max_abs_difference:.1e}"
)
sys.exit(0 if agreement.passed else 1)
