"""How credit is assigned: the protocol, ghost units, their peers, the controls; `Learning`, the optimiser."""
