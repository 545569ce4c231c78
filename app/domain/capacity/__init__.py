"""How many nodes there should be, of which kinds, and why: pure values and decisions.

`kinds` and `fleet` are what may be and what there is, `rates` what keeps coming, `slots` how much room waiting jobs
need, `loads` what is to be packed, `packing` onto which nodes that fits, `deciding` what is to be added and drained,
`worth` what that costs, `state` what outlives a leader, `report` what people read. Seconds are from now, moments in µs
since 2020.
"""
