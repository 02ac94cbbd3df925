"""The options that say where a peer in the foreground runs and whom it turns to first."""

from collections.abc import Callable
from functools import reduce, wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from peercell.broker.addresses import Address, look_up, numeric_endpoint
from peercell.broker.foreground import Site
from peercell.broker.terminal.params import endpoint, seed

_FILE = click.Path(path_type=Path, dir_okay=False)


class Told(NamedTuple):
    """What the options say.

    Parameters
    ----------
    site : where the peer listens and is found, its door, and seeds that were named
    token : file of its join token; None for the one beside its keys
    join : door of a peer of the cell; None for none
    server_key : fingerprint or file of public keys that this peer has to have
    """

    site: Site
    token: Path | None
    join: Address | None
    server_key: str | None


_OPTIONS = (
    click.option(
        "--listen",
        type=endpoint,
        default="127.0.0.1:0",
        show_default=True,
        metavar="ADDRESS:PORT",
        help="Numeric address and port to listen at; port 0 for any that is free.",
    ),
    click.option(
        "--advertise",
        type=endpoint,
        metavar="HOST:PORT",
        help="Where others find it; where it listens if not given.",
    ),
    click.option(
        "--door",
        type=endpoint,
        metavar="ADDRESS:PORT",
        help="Where newcomers may show their admission.",
    ),
    click.option(
        "--key",
        type=_FILE,
        help="Secret keys of the peer, which are admitted; without, links have no keys.",
    ),
    click.option("--token", type=_FILE, help="Its join token; beside the keys if not given."),
    click.option(
        "--join",
        type=endpoint,
        metavar="HOST:PORT",
        help="Door of a peer of the running cell.",
    ),
    click.option(
        "--server-key",
        metavar="WORDS|PUB",
        help="Fingerprint or public keys that this peer has to have.",
    ),
    click.option(
        "--seed",
        type=seed,
        multiple=True,
        help="A peer to turn to first, as directory=tcp://192.0.2.10:5600; several times for more.",
    ),
)
_OWN = ("listen", "advertise", "door", "key", "token", "join", "server_key", "seed")


def _numeric(where: str) -> str:
    """Return an endpoint with its host as a number."""
    try:
        return numeric_endpoint(where)
    except ValueError:
        raise click.BadParameter(
            f"{where!r} has no port; write it as tcp://192.0.2.10:5600"
        ) from None


def with_site(run: Callable[..., None]) -> Callable[..., None]:
    """Return a command that also has these options, as one argument."""

    @wraps(run)
    def command(**options: Any) -> None:
        named = {name: options.pop(name) for name in _OWN}
        at: Address | None = named["advertise"]
        door: Address | None = named["join"]
        site = Site(
            listen=named["listen"],
            advertise=look_up(*at) if at else None,
            door=named["door"],
            keys=named["key"],
            seeds={peer: _numeric(where) for peer, where in named["seed"]},
        )
        told = Told(site, named["token"], look_up(*door) if door else None, named["server_key"])
        run(told=told, **options)

    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)
