"""Number systems: floating point, the integers of a chip, and bounds on their difference."""
