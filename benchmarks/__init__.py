"""Measurements that docs/results.md reports: `python -m benchmarks`, or `make bench MNIST=DIR`."""
