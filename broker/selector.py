"""Which peers a command means: names, patterns, roles and microgrids, in one grammar for all.

mg1.trader     a peer
mg1.*          a pattern, with * and ?
mg1            the peers of microgrid mg1, its trader among them; the same as mg=1
role=prosumer  all of a role
all            all
!mg1.c3        not these; commas join
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from peercell.agents.errors import PeercellError
from peercell.grid.nearest import unknown


class SelectorError(PeercellError):
    """A selector that no peer fits."""


def select(selectors: tuple[str, ...], roles: Mapping[str, str]) -> tuple[str, ...]:
    """Return the peers that selectors mean, in the order of `roles`; all for no selector.

    Parameters
    ----------
    selectors : each of one or more terms, joined by commas; what begins with `!` is taken out
    roles : role of each peer that there is

    Raises
    ------
    SelectorError : a term that fits no peer, or nothing is left.
    """
    terms = [term.strip() for text in selectors for term in text.split(",") if term.strip()]
    out = [term[1:] for term in terms if term.startswith("!")]
    wanted = [term for term in terms if not term.startswith("!")] or ["all"]
    chosen = {peer for term in wanted for peer in _fitting(term, roles)}
    chosen -= {peer for term in out for peer in _fitting(term, roles)}
    if not chosen:
        raise SelectorError(f'"{",".join(terms)}" leaves no peer', "", "peercell ps")
    return tuple(peer for peer in roles if peer in chosen)


def _fitting(term: str, roles: Mapping[str, str]) -> list[str]:
    """Return the peers that a term means."""
    key, equals, value = term.partition("=")
    if equals and key not in {"role", "mg"}:
        raise SelectorError(
            f'"{term}" is no selector', "", "a peer, a pattern such as 'mg1.*', role=…, mg=… or all"
        )
    fitting = [peer for peer, role in roles.items() if _fits(term, peer, role)]
    if not fitting:
        kind = {"role": "role", "mg": "microgrid"}.get(key, "peer") if equals else "peer"
        known = {"role": roles.values(), "mg": map(_microgrid, roles)}.get(key, roles)
        error = unknown(kind, value if equals else term, {*known} - {""})
        raise SelectorError(error.what, error.why, "peercell ps")
    return fitting


def _fits(term: str, peer: str, role: str) -> bool:
    """Return whether a term that is not negated means a peer."""
    key, equals, value = term.partition("=")
    if not equals:
        return term == "all" or fnmatchcase(peer, term) or _microgrid(peer) == term
    if key == "role":
        return fnmatchcase(role, value)
    return _microgrid(peer) in {value, f"mg{value}"}


def _microgrid(peer: str) -> str:
    """Return the microgrid of a trader or prosumer; "" for a peer of none."""
    microgrid, dot, _ = peer.partition(".")
    return microgrid if dot else ""
