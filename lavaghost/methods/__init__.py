"""How credit is assigned: methods, and the optimiser that all share."""
