"""How credit is assigned: the protocol, ghost units, backprop, frozen; what they share: `Learning`, the optimiser."""
