"""Why the grid service refuses: the one error that becomes a `GridRefusal`."""

from collections.abc import Iterable

from peercell.agents.errors import PeercellError
from peercell.agents.grid_parts import RefusalCode, RefusalFacts
from peercell.grid.errors import CollapseError, NoSourceError, UnknownElementError
from peercell.grid.nearest import unknown

_NO_FACTS = RefusalFacts()


class RefusedError(PeercellError):
    """A request that the service does not carry out, with a code for machines.

    Parameters
    ----------
    code : which kind of refusal.
    what, why, fix : as in `PeercellError`.
    """

    def __init__(self, code: RefusalCode, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.code = code
        self.facts = _NO_FACTS

    def with_facts(self, facts: RefusalFacts) -> "RefusedError":
        """Return this error with the numbers behind it."""
        self.facts = facts
        return self


# Share of a rating that may be exceeded: what rounding makes of a power that is just within.
ROUNDING = 1.0 + 1e-9


def refusal(error: PeercellError) -> RefusedError:
    """Return what the service says about an error of the physics."""
    match error:
        case RefusedError():
            return error
        case CollapseError():
            code, facts = RefusalCode.COLLAPSE, RefusalFacts(weakest_bus=error.weakest_bus)
        case NoSourceError():
            code, facts = RefusalCode.NO_SOURCE, _NO_FACTS
        case UnknownElementError():
            code, facts = RefusalCode.UNKNOWN_ELEMENT, _NO_FACTS
        case _:
            code, facts = RefusalCode.BAD_TOPOLOGY, _NO_FACTS
    return RefusedError(code, error.what, error.why, error.fix).with_facts(facts)


def unknown_asset(name: str, known: Iterable[str]) -> RefusedError:
    """Return the refusal of an asset that is not there."""
    error = unknown("asset", name, known)
    return RefusedError(RefusalCode.UNKNOWN_ASSET, error.what, error.why, error.fix).with_facts(
        RefusalFacts(element=name)
    )


def too_much(thing: str, asset: str, kva: float, rating: float) -> RefusedError:
    """Return the refusal of a power beyond a rating."""
    return RefusedError(
        RefusalCode.OUT_OF_RANGE,
        f"{thing} cannot inject {kva:.6g} kVA",
        f"its rating is {rating:.6g} kVA",
        "reduce P or Q",
    ).with_facts(RefusalFacts(element=asset, asked=kva, most=rating))


def stale_seq(seq: int, newest: int) -> RefusedError:
    """Return the refusal of a write that a newer one has overtaken."""
    return RefusedError(
        RefusalCode.STALE_SEQ,
        f"the write with seq {seq} came too late",
        f"seq {newest} of the same peer holds already",
        f"send it again with a seq above {newest}",
    ).with_facts(RefusalFacts(seq_newest=newest))
