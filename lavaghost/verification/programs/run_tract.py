# /// script
# requires-python = ">=3.10,<3.14"
# dependencies = ["numpy==2.2.6", "tract==0.23.9"]
# ///
"""Runs an ONNX file in tract: FILE IN.npz OUT.npz (see lavaghost/verification/runtimes.py)."""

import sys

import numpy as np
import tract

file, given, answer = sys.argv[1:]
x = np.load(given, allow_pickle=False)["x"]
# by position: tract calls an output after the node that it comes from
logits, labels = (value.to_numpy() for value in tract.onnx().load(file).into_model().into_runnable().run([x]))
np.savez(answer, logits=logits, labels=labels, runtime=np.array(f"tract {tract.version()}"))
