"""Lava processes with faults, for tests of the session."""
