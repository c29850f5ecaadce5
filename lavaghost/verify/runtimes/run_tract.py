# /// script
# requires-python = ">=3.10,<3.14"
# dependencies = ["numpy==2.2.6", "tract==0.23.9"]
# ///
"""Runs an ONNX file in tract: FILE IN.npz OUT.npz (see lavaghost/verify/runtimes.py)."""

import sys

import numpy as np
import tract

file, given, answer = sys.argv[1:]
x = np.load(given, allow_pickle=False)["x"]
model = tract.onnx().load(file)
names = [model.output_name(i) for i in range(model.output_count())]
runnable = model.into_model().into_runnable()
found = {name: value.to_numpy() for name, value in zip(names, runnable.run([x]), strict=True)}
np.savez(
    answer,
    logits=found["logits"],
    labels=found["label"],
    runtime=np.array(f"tract {tract.version()}"),
)
