"""What a network is: populations, projections, kinds, parameters."""
