"""Where the processes of a cell listen, and which of its peers run on other machines."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from peercell.agents.errors import PeercellError
from peercell.broker.addresses import Address
from peercell.broker.home import CellHome, replace_file
from peercell.broker.processes.crew import PeerSpec
from peercell.broker.processes.plan import Plan
from peercell.broker.security.admission import Part
from peercell.broker.selector import select


class Placement(Struct, frozen=True, kw_only=True):
    """What `peercell up` is told about machines.

    Parameters
    ----------
    listen : numeric address that the peers listen at
    advertise : numeric address at which others find this machine; "" for `listen`
    elsewhere : selectors of the peers that run on other machines
    door : address where strangers may knock; None for no door
    """

    listen: str = "127.0.0.1"
    advertise: str = ""
    elsewhere: tuple[str, ...] = ()
    door: Address | None = None

    def away(self, roles: Mapping[str, str]) -> frozenset[str]:
        """Return the peers that run on other machines.

        Parameters
        ----------
        roles : role of each peer of the cell

        Raises
        ------
        SelectorError : a selector fits nobody.
        """
        return frozenset(select(self.elsewhere, roles)) if self.elsewhere else frozenset()


def placed(plan: Plan, placement: Placement) -> Plan:
    """Return the plan of a cell for this machine; what others are to run is left in its folder.

    Parameters
    ----------
    plan : with all peers
    placement : of them

    Raises
    ------
    PeercellError : see `Placement.away`; or nobody can let in those that run elsewhere.
    """
    away = placement.away({spec.peer: spec.role for spec in plan.peers})
    if not plan.keys and (away or placement.door is not None):
        raise PeercellError(
            "peers that run elsewhere have to be admitted",
            f"{plan.config} says of no keys",
            f'peercell keys cell {plan.config}     and in it: [security] keys = "keys"',
        )
    home = CellHome(Path(plan.folder))
    for spec in plan.peers:
        _leave_part(home, plan, spec, runs_here=spec.peer not in away)
    return structs.replace(
        plan,
        peers=tuple(spec for spec in plan.peers if spec.peer not in away),
        address=placement.listen,
        advertise=placement.advertise,
        door=placement.door,
    )


def _leave_part(home: CellHome, plan: Plan, spec: PeerSpec, *, runs_here: bool) -> None:
    """Write what a peer is to run elsewhere, or that it is not to any more."""
    path = home.part(spec.peer)
    if runs_here:
        path.unlink(missing_ok=True)
        return
    part = Part(
        spec=spec,
        unions=plan.unions,
        observer=plan.observer,
        journal_bytes_max=plan.journal_bytes_max,
    )
    replace_file(path, msgspec.json.encode(part))
