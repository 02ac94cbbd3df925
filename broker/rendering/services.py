"""Which services a cell is made of when it runs in containers, and what each is told to run."""

from collections.abc import Callable, Iterator
from datetime import date
from operator import attrgetter
from pathlib import Path

from msgspec import Struct

from peercell.agents.errors import PeercellError
from peercell.broker.config import Config, load_grid
from peercell.broker.hosting.places import OBSERVER, places
from peercell.broker.plans.cell import plan_cell
from peercell.broker.plans.live import RunOrder, read_order
from peercell.broker.security.enrolment import CHARTER
from peercell.broker.security.identity import SECRET

# Of the first process of a host; the others have the next ones.
PORT, HTTP_PORT = 5600, 8080
USER = 10001
STATE = "/var/lib/peercell"
CONFIGS, MOUNTED = "configs", "/etc/peercell"
# MB: supervisor and fork server; a peer.
HOST_MB, PEER_MB = 160, 16
# Hosts that a newcomer turns to beside the broker, so that it is not needed for that.
SEEDS = 2
# s; how long the peers of a host may take to leave.
GRACE_S = 10


class Service(Struct, frozen=True, kw_only=True):
    """A host of peers in a container.

    Parameters
    ----------
    name : of the service, and of the host in its network
    image : target of the Dockerfile
    peers : that run in it, the first one in front
    places : what `peercell host` is told to run
    http : whether it shows the cell at HTTP_PORT
    """

    name: str
    image: str
    peers: tuple[str, ...]
    places: tuple[str, ...]
    http: bool = False

    @property
    def memory_mb(self) -> int:
        """What it may use at most, MB."""
        return HOST_MB + PEER_MB * len(self.peers)

    @property
    def key_files(self) -> tuple[str, ...]:
        """Names of the files in its folder of keys."""
        return (CHARTER, *(f"{peer}{SECRET}" for peer in self.peers))

    @property
    def dealt(self) -> str:
        """The folder that `peercell keys deal` makes for it."""
        return self.places[0]

    @property
    def ports(self) -> range:
        """Where its processes listen."""
        return range(PORT, PORT + len(self.peers))


class Deployment(Struct, frozen=True, kw_only=True):
    """A cell as services.

    Parameters
    ----------
    cell : name
    config : path of the config in the container
    mount : folder of the config where it does not come with the image; None where it does
    day : the whole day that is lived; None for what the config says
    split : whether each peer has a service of its own
    services : all of them, the broker first
    """

    cell: str
    config: str
    mount: Path | None
    day: date | None
    split: bool
    services: tuple[Service, ...]

    def arguments(self, service: Service) -> tuple[str, ...]:
        """Return what a service is told to run; the rest is in the environment of all."""
        http = ("--http", f"0.0.0.0:{HTTP_PORT}") if service.http else ()
        return ("host", self.config, *service.places, *http)

    def environment(
        self, keys: str, host_of: Callable[[Service], str] = attrgetter("name")
    ) -> dict[str, str]:
        """Return what all services are told.

        Parameters
        ----------
        keys : path of their keys in the container
        host_of : returns the name of the host of a service
        """
        day = {"PEERCELL_HOST_DAY": f"{self.day:%Y-%m-%d}"} if self.day else {}
        return day | {
            "PEERCELL_HOST_LISTEN": f"0.0.0.0:{PORT}",
            "PEERCELL_HOST_KEYS": keys,
            "PEERCELL_HOST_SEED": " ".join(self._seeds(host_of)),
        }

    @property
    def dealing(self) -> tuple[str, ...]:
        """What is to be run once so that there are keys, without `--out`."""
        return ("keys", "deal", self.config, *(("--split",) if self.split else ()))

    def _seeds(self, host_of: Callable[[Service], str]) -> Iterator[str]:
        """Yield the peers that every host turns to first, and where they are."""
        markets = [each for each in self.services if each.peers[0].endswith(".trader")]
        for each in (self.services[0], *markets[:SEEDS]):
            yield f"{each.peers[0]}=tcp://{host_of(each)}:{PORT}"


def deployment(order: RunOrder, *, split: bool = False) -> Deployment:
    """Return the services of a cell.

    Parameters
    ----------
    order : its config, and the day that it lives
    split : whether each peer is to have a service of its own

    Raises
    ------
    PeercellError : the config is wrong, or two services would be called the same.
    """
    config = read_order(order)
    loaded = load_grid(config)
    plan = plan_cell(config, loaded, 0.0)
    where = places(plan, loaded.cell.zones)
    services = [_service(name, peers, (name,)) for name, peers in where.items()]
    if split:
        services = [
            _service(f"{plan.name}-{peer}".replace(".", "-"), (peer,), (peer,))
            for peers in where.values()
            for peer in peers
        ]
    names = [each.name for each in services]
    for name in names:
        if names.count(name) > 1:
            raise PeercellError(f'two services would be called "{name}"', "", "rename a microgrid")
    inside, mount = _inside(order.config, config)
    return Deployment(
        cell=plan.name,
        config=inside,
        mount=mount,
        day=order.day,
        split=split,
        services=tuple(services),
    )


def refuse_mounts(cell: Deployment) -> None:
    """Refuse a config that is not in the image: other machines do not have its folder.

    Raises
    ------
    PeercellError : it has to be mounted.
    """
    if cell.mount is not None:
        raise PeercellError(
            f"the config of {cell.cell} does not come with the image",
            f"it lies in {cell.mount}, which other machines cannot mount",
            f"put it below {CONFIGS}/ beside the Dockerfile, and build the images anew",
        )


def _service(name: str, peers: tuple[str, ...], where: tuple[str, ...]) -> Service:
    return Service(
        name=name,
        image="grid" if "grid" in peers else "agent",
        peers=peers,
        places=where,
        http=OBSERVER in peers,
    )


def _inside(path: Path, config: Config) -> tuple[str, Path | None]:
    """Return where a config is in the container, and the folder that has to be mounted for that."""
    folder = config.folder.resolve()
    shipped = next((each for each in (folder, *folder.parents) if each.name == CONFIGS), None)
    if shipped is not None and (shipped.parent / "Dockerfile").exists():
        return f"{CONFIGS}/{path.resolve().relative_to(shipped)}", None
    return f"{MOUNTED}/{path.name}", config.folder
