"""How an operator's word gets into a cell: to every process of this machine, or through a door."""

import socket
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from peercell.agents.admission import Admission, admission_of
from peercell.agents.membership_messages import Admit, Admitted, MembershipMessage
from peercell.agents.signing import SignedRecord
from peercell.broker.operator_port import HostMessage, Question, ask_all
from peercell.broker.processes.plan import SUPERVISOR
from peercell.broker.rosterfile import Kept, read_roster
from peercell.broker.security.door import DoorError, knock
from peercell.broker.wire import FRAME_BYTES_MAX, Codec

ANSWER_S = 2.0

_CODEC = Codec(MembershipMessage, HostMessage, frame_bytes_max=FRAME_BYTES_MAX)


class Told(Struct, frozen=True):
    """Who was told.

    Parameters
    ----------
    taken : processes for which the word counts now
    refused : processes of another cell or operator, or that know a newer word
    """

    taken: int
    refused: int


def tell_processes(home: Path, word: SignedRecord) -> Told:
    """Tell every process below a folder of runs; any one of them would do, gossip does the rest.

    Parameters
    ----------
    home : folder of the runs
    word : an admission or a revocation
    """
    questions = [Question(endpoint, name, Admit((word,))) for name, endpoint in _listening(home)]
    answers = ask_all(questions, _CODEC, ANSWER_S)
    took = [answer for answer in answers if isinstance(answer, Admitted)]
    return Told(sum(each.taken for each in took), sum(each.refused for each in took))


def tell_door(address: tuple[str, int], word: SignedRecord) -> Told:
    """Tell the peer behind a door.

    Raises
    ------
    DoorError : nobody is there, or it does not count there.
    """
    welcome = knock(address, word)
    if welcome.refusal:
        raise DoorError(
            f"the peer at {address[0]}:{address[1]} does not take it",
            welcome.refusal,
            "the keys of the operator of that cell",
        )
    return Told(1, 0)


def admissions_below(home: Path, run: str = "*") -> Iterator[Admission]:
    """Yield the admissions that processes below a folder of runs have kept, of one run or all."""
    for path in sorted(home.glob(f"{run}/state/*.roster")):
        for kept in read_roster(path, Kept.ADMISSION):
            yield admission_of(kept)


def _listening(home: Path) -> Iterator[tuple[str, str]]:
    """Yield name and control endpoint of the processes that listen below a folder of runs."""
    for path in sorted(home.glob("*/sockets/*.sock")):
        if path.stem == SUPERVISOR:
            continue
        with socket.socket(socket.AF_UNIX) as trial:
            try:
                trial.connect(str(path))
            except OSError:
                continue
        yield path.stem, f"ipc://{path.absolute()}"
