"""Ghost units."""
