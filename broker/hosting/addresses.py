"""Where other hosts are, by the names that people give them, and where this one is for them.

ZeroMQ gets numeric addresses only. Names are looked up here, before any peer is started, and never
in the middle of the traffic; from then on peers tell each other where they are.
"""

import logging
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from threading import Thread
from urllib.parse import urlsplit

from peercell.broker.addresses import NameLookupError, numeric_endpoint

# A name server may take its time over a name that it does not know. Who has found some seed waits
# a moment for the others, and a host that cannot do without waits longer for the first.
ENOUGH_S, LOOK_UP_S, AGAIN_S = 0.5, 3.0, 0.5
LOOK_S = 0.02
LOOPBACK = frozenset({"", "127.0.0.1", "::1"})

log = logging.getLogger(__name__)


def look_up_seeds(seeds: Mapping[str, str]) -> dict[str, str]:
    """Return the numeric endpoints of the seeds whose names are known within half a second.

    Where none is, it takes up to three.

    Parameters
    ----------
    seeds : tcp endpoint of each peer, with the name of a host or its address
    """
    found: dict[str, str] = {}

    def ask(peer: str, endpoint: str) -> None:
        with suppress(NameLookupError):
            found[peer] = numeric_endpoint(endpoint)

    # One thread a name, none of which is waited for at the end of the process: a name server that
    # does not answer keeps only those that ask for its names.
    asking = [Thread(target=ask, args=each, daemon=True) for each in seeds.items()]
    for thread in asking:
        thread.start()
    began_s = time.monotonic()
    while any(thread.is_alive() for thread in asking):
        if time.monotonic() - began_s > (ENOUGH_S if found else LOOK_UP_S):
            break
        time.sleep(LOOK_S)
    return {peer: found[peer] for peer in seeds if peer in found}


def await_one(seeds: Mapping[str, str], pause: Callable[[float], None]) -> dict[str, str]:
    """Return the numeric endpoints of the seeds, once there is one; a host alone waits."""
    while not (known := look_up_seeds(seeds)) and seeds:
        log.warning("no seed has an address yet: %s", ", ".join(seeds.values()))
        pause(AGAIN_S)
    return known


def own_address(listen: str, others: Mapping[str, str]) -> str:
    """Return the numeric address at which other hosts find this one; "" for none at the moment.

    Parameters
    ----------
    listen : what the user wants; for 0.0.0.0 it is the address that leads to the others
    others : numeric endpoints
    """
    if not ip_address(listen).is_unspecified:
        return listen
    routes = (_towards(endpoint) for endpoint in others.values())
    found = next((address for address in routes if address not in LOOPBACK), "")
    if found or others:
        return found
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""


def _towards(endpoint: str) -> str:
    """Return the own address on the way to an endpoint; "" where there is no way."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    # To connect a datagram socket sends nothing: it only asks the kernel for the way.
    with socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM
    ) as way:
        try:
            way.connect((host, parts.port or 1))
        except OSError:
            return ""
        return str(way.getsockname()[0])
