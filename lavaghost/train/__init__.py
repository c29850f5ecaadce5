"""The loop over epochs."""
