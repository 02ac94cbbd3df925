"""Where a name is: looked up once, here, since ZeroMQ would look it up in the middle of traffic."""

import socket
from urllib.parse import urlsplit

from peercell.agents.errors import PeercellError

Address = tuple[str, int]
"""Numeric address and port."""


class NameLookupError(PeercellError):
    """A host name that leads nowhere."""

    exit_code = 4


def look_up(host: str, port: int) -> Address:
    """Return the numeric address of a host, that of IPv4 where it has both.

    Raises
    ------
    NameLookupError : the name is not known.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameLookupError(
            f"the host {host!r} is not known here",
            error.strerror or str(error) if isinstance(error, OSError) else str(error),
            "its numeric address, such as 192.0.2.10",
        ) from None
    by_family = {family: address[:2] for family, *_, address in reversed(found)}
    best = by_family.get(socket.AF_INET) or by_family.get(socket.AF_INET6) or (host, port)
    return str(best[0]), int(best[1])


def numeric_endpoint(endpoint: str) -> str:
    """Return a ZeroMQ endpoint with the host in it as a number.

    Raises
    ------
    NameLookupError : the name is not known.
    ValueError : its port is no number.
    """
    parts = urlsplit(endpoint)
    return endpoint_at(look_up(parts.hostname or "", parts.port or 0))


def endpoint_at(address: Address) -> str:
    """Return the ZeroMQ endpoint of a numeric address and port."""
    host, port = address
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
