"""Ghost learning one sample at a time, in floating point and in integers: the reference of what Lava learns."""
