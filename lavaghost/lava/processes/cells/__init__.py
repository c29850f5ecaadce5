"""Populations of neurons and ghosts as Lava processes: the parts of a decomposed ghost network."""
