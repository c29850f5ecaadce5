"""Adaptation of a trained network to new data, sample by sample, and its picture."""
