"""How well a network classifies in each engine, how engines agree, and a network in integers with its price."""
