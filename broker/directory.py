"""The peer that all others are told to turn to first, and that keeps what they report.

It is a peer like any other: nothing passes through it, everybody has what it knows, and its end
stops no trade. What ends with it is the view of the whole cell, and the easy way in for newcomers.
"""

from typing import TYPE_CHECKING

from peercell.agents.observer import Observer
from peercell.agents.protocol import Role
from peercell.broker.processes.crew import PeerSpec

if TYPE_CHECKING:
    # Commands that ask how a cell is doing read this page, and have no use for NumPy.
    import numpy as np

DIRECTORY = "directory"
OBSERVER_MESSAGES = "peercell.agents.observer:ObserverMessage"


def directory_spec() -> PeerSpec:
    """Return the directory of a cell, to be run like its other peers."""
    return PeerSpec(peer=DIRECTORY, role="directory", factory="peercell.broker.directory:build")


def build(peer: str, settings: bytes, generator: "np.random.Generator") -> Role:
    """Return the role of a directory; it has neither settings nor chance."""
    del peer, settings, generator
    return Observer()
