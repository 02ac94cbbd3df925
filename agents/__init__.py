"""Pure protocol logic: events in, actions out.

Nothing here knows a clock, a socket, a file or a process; `broker` gives it time and carries what
it says. Reading order: `errors` (the one error a user may see), `protocol` (the contract with a
host), `messages` (the base of all that is said), `units`, then a role of `ROLES` and what it uses.

A role is a class that is made of its settings, a Struct in a parameter `settings`. A new one needs
its file and a line here.
"""

from collections.abc import Mapping

# Named rather than imported: a command that asks for one thing should not load all of them.
ROLES: Mapping[str, str] = {
    "microgrid trader": "peercell.agents.trading.trader:MicrogridTrader",
    "trader": "peercell.agents.trading.market:MarketTrader",
    "prosumer": "peercell.agents.trading.prosumer:Prosumer",
    "aggregator": "peercell.agents.trading.aggregator:Aggregator",
    "dso": "peercell.agents.dso:Dso",
    "voltage": "peercell.agents.control.voltage_dual:VoltageDual",
    "voltage coupling": "peercell.agents.control.coupling:Coupling",
    "voltage gradient": "peercell.agents.control.voltage_gradient:VoltageGradient",
    "open point": "peercell.agents.control.reconfiguration:OpenPoint",
    "voltage paper": "peercell.agents.control.voltage_paper:VoltagePaper",
}
"""Name of each role -> "module:class"; the first one trades a single time, for `trade solve`."""
