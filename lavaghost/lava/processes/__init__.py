"""Lava processes of this project, a folder for each family; Lava runs every file beside a process."""
