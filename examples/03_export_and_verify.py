"""Export a trained network to ONNX, and let a runtime that is not ours confirm it on real data."""

import sys
from pathlib import Path

import lavaghost as lg

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-3")
digits = lg.load_data("digits")
network = lg.Network(layers=(64, 64, 32, 10))
lg.train(network, digits, method=lg.Ghost(mechanism="online"), epochs=10, out=out)

model = lg.load(out)
report = lg.export(model, out / "digits.onnx")
for element, status, note in report.carries:
    print(f"{element:14s} {status:12s} {note}")
agreement = lg.verify(report.paths[0], model, digits)
print(
    f"\n{agreement.runtime}: {100 * agreement.accuracy:.2f} %, ours {100 * agreement.reference_accuracy:.2f} %"
)
print(
    f"labels agree on {100 * agreement.label_agreement:.2f} %, largest difference {agreement.max_abs_difference:.1e}"
)
sys.exit(0 if agreement.passed else 1)
