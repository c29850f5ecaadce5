"""The ghost network as a Lava process."""
