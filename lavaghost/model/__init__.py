"""A trained network as a value, saved and loaded."""
