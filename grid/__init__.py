"""Physics of the distribution network: arrays in, arrays out.

Reading order: `model` (what a cell is), `topology` and `admittance` (from elements to nodes and a
matrix), `engine` (power flow), `sensitivity`, `feeder` (a cell bound to the engine, by id),
`study` (an operating point, a day), `devices`, `partition`, `compile` (from pandapower and
SimBench).

Sign everywhere: P in kW and Q in kvar, positive = injection into the grid.
"""
