"""Online learning in integers."""
