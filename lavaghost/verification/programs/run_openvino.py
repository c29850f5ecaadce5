# /// script
# requires-python = ">=3.10,<3.14"
# dependencies = ["numpy==2.2.6", "openvino==2026.3.0"]
# ///
"""Runs an ONNX file in OpenVINO on the CPU: FILE IN.npz OUT.npz (see lavaghost/verification/runtimes.py)."""

import sys

import numpy as np
import openvino

file, given, answer = sys.argv[1:]
x = np.load(given, allow_pickle=False)["x"]
core = openvino.Core()
# by itself the CPU plugin may compute in bfloat16, and quantise rates beside 8-bit weights once more
model = core.compile_model(core.read_model(file), "CPU", {"EXECUTION_MODE_HINT": "ACCURACY"})
found = model({"input": x})
np.savez(
    answer,
    # by name through the port: an output may have several names
    logits=found[model.output("logits")],
    labels=found[model.output("label")],
    runtime=np.array(f"OpenVINO {openvino.__version__}"),
)
