"""A Lava process that reads Vars of others and sends them to the host."""
