"""What a network is: `Network`, the `Graph` of populations and projections, kinds of projections, `Parameters`."""
