"""The one training loop, the order of samples, checkpoints, diagnostics of the live method; learners in float and
in integers.
"""
