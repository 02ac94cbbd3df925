"""How a cell whose peers all run on one machine comes to have keys: its operator admits them."""

from pathlib import Path

from msgspec import structs

from peercell.agents.admission import Charter, admission_of
from peercell.broker.home import CellHome
from peercell.broker.rosterfile import Kept, read_roster
from peercell.broker.security.admission import Crewed, Terms, enrol
from peercell.broker.security.identity import load_identity

# s; a cell that is started anew is admitted anew.
LASTS_S = 366 * 86_400.0


def charter_of(operator: str, home: CellHome, crews: list[Crewed], now_s: float) -> Charter:
    """Return who belongs to a cell whose peers all run here; anybody, where it has no operator.

    Peers that the operator has revoked stay so for as long as they have the same keys.

    Parameters
    ----------
    operator : file of the operator's secret keys; "" for none
    home : of the cell, prepared; keys that are not there are made
    crews : name of each process, and its peers
    now_s : s, host time

    Raises
    ------
    KeyFileError : a key cannot be used.
    """
    if not operator:
        return Charter()
    terms = Terms(home.folder.name, "", now_s, now_s + LASTS_S)
    charter = enrol(home, crews, load_identity(Path(operator)), terms)
    kept = {
        signed
        for path in sorted(home.folder.glob("state/*.roster"))
        for signed in read_roster(path, Kept.ADMISSION)
    }
    revoked = {
        (said.peer, keys.curve): signed
        for signed in sorted(kept, key=lambda each: admission_of(each).serial)
        if (said := admission_of(signed)).revoked
        for keys in said.keys
    }
    counts = []
    for signed in charter.admissions:
        said = admission_of(signed)
        counts.append(revoked.get((said.peer, said.keys[0].curve), signed))
    return structs.replace(charter, admissions=tuple(counts))
