"""Chips: configurations, what a network takes of one, where it goes, what it costs, and its integers.

    catalogue.load_chip -> demand.demand_of -> mapper.map_network -> report.make -> draw.draw

`catalogue` finds chips; `demand` is what a graph (`net.graph`) asks of one in a phase; `usage` counts what that
takes of a core; `design_rules` say what is too much; `partition` and `mapper` cut and place; `activity`,
`traffic` and `cost` estimate energy and time.
"""
