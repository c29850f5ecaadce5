"""How well a network classifies, in each engine and in integers."""
