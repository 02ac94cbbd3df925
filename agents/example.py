"""How is a role shown to the conformance kit? By some peers of it that know each other.

`peercell agent check my_agents:CautiousTrader` asks the class for them:

    @classmethod
    def example(cls) -> dict[str, Role]:
        return {name: cls(Settings(name, NAMES)) for name in NAMES}

It is called once for each schedule, and for one peer whenever that peer restarts, so it makes new
roles each time. What the peers record is what they come to: it has to be the same whatever happens
to their messages. Facts that also count rounds or attempts need an `outcome`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from peercell.agents.messages import Message
from peercell.agents.protocol import Role


def whole(fact: Message) -> object:
    """Return all of a fact: nothing in it depends on what the network did."""
    return fact


@dataclass(frozen=True)
class Example:
    """Peers that know each other, and what of their facts must not depend on the network.

    Parameters
    ----------
    roles : new roles by the names under which they know each other; others that they need, such as
        a grid service, stand among them
    outcome : returns what of a fact is to be compared, and None for a fact that is not; of each
        kind and peer the last one counts
    """

    roles: Mapping[str, Role]
    outcome: Callable[[Message], object] = whole
