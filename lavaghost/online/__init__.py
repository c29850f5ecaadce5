"""Learning one sample at a time, in floating point and in integers."""
