"""Chips: configurations, what a network takes of one, where it goes, what it costs, and its integers.

    config.load -> nodes.build -> mapper.map_network -> report.make -> draw.draw

`config` reads `hw_configs/`; `nodes` lists a network's populations and connections for a phase; `usage` counts what
each takes; `rules` says what is too much; `partition` and `mapper` cut and place; `activity`, `traffic` and `cost`
estimate energy and time; `integer` is the network that `lavaghost deploy` runs.
"""
