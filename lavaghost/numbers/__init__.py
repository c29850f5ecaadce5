"""Number systems in one vocabulary: floating point, the integers of a chip, bounds on their difference;
`Integers`, arrays with their format.
"""
