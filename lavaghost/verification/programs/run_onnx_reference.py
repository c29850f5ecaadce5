# /// script
# requires-python = ">=3.10,<3.14"
# dependencies = ["numpy==2.2.6", "onnx==1.23.2"]
# ///
"""Runs an ONNX file in ONNX's reference evaluator: FILE IN.npz OUT.npz (see lavaghost/verification/runtimes.py)."""

import sys

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

file, given, answer = sys.argv[1:]
x = np.load(given, allow_pickle=False)["x"]
evaluator = ReferenceEvaluator(file)
found = dict(zip(evaluator.output_names, evaluator.run(None, {"input": x}), strict=True))
np.savez(
    answer,
    logits=found["logits"],
    labels=found["label"],
    runtime=np.array(f"onnx.reference {onnx.__version__}"),
)
