"""Section III of the paper: voltages and loadings within their limits, by the peers alone.

Reading order: `device` (what an inverter can do and what it does at a price), `paths` (how a
voltage answers to a power, from two path lists), `droop` (primary control, no messages),
`multipliers` (one step of the prices of limits), `voltage_messages`, `pricing` (from what all have
told to the next prices), `rhythm` (epochs), `station` (one agent's meter and devices), `circle`
(what every agent does with the others), then the laws `voltage_dual`, `voltage_gradient` and
`voltage_paper`, each a role. `levels` and `coupling` join two levels of the network.
"""
