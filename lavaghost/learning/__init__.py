"""How networks learn: local rules, methods, the optimiser, and the diagnostics that keep them honest."""
