"""Network namespaces with a cable each to one switch, and what is done to the packets on it.

Nothing of the network of this machine is touched: the switch is in a namespace of its own too.
"""

import shutil
import subprocess
from collections.abc import Sequence

from msgspec import Struct

from peercell.agents.errors import PeercellError

# Set aside for measuring between networks (RFC 2544): it is nobody's address out there.
SUBNET, MASK_BITS = "198.18.0", 24
PORTS_MAX = 250
CABLE = "eth0"


class LabError(PeercellError):
    """A network that cannot be made or changed here."""

    exit_code = 3


class Station(Struct, frozen=True):
    """A namespace with a cable to the switch.

    Parameters
    ----------
    name : of the part of the cell that runs there
    namespace : as `ip netns` lists it
    address : in the network of the lab
    """

    name: str
    namespace: str
    address: str

    def within(self, *words: str) -> list[str]:
        """Return the words that run a command there."""
        return ["ip", "netns", "exec", self.namespace, *words]


def lay(tag: str, names: Sequence[str]) -> tuple[Station, ...]:
    """Make a switch and a station for each name.

    Parameters
    ----------
    tag : that no other lab of this machine has
    names : of the parts

    Raises
    ------
    LabError : this user may not, or a program is missing; nothing is left then.
    """
    if len(names) > PORTS_MAX:
        raise LabError(f"a lab has at most {PORTS_MAX} parts", f"there are {len(names)}")
    switch = _switch(tag)
    stations = tuple(
        Station(name, f"{switch}-{name}", f"{SUBNET}.{at}") for at, name in enumerate(names, 1)
    )
    try:
        _run("ip", "netns", "add", switch)
        _inside(switch, "ip", "link", "add", "switch", "type", "bridge")
        _inside(switch, "ip", "link", "set", "switch", "up")
        for at, station in enumerate(stations, 1):
            _plug(switch, f"port{at}", station)
    except LabError:
        take_up(tag, stations)
        raise
    return stations


def take_up(tag: str, stations: Sequence[Station]) -> None:
    """Remove a switch and its stations; what is gone already is no error."""
    for namespace in (*(station.namespace for station in stations), _switch(tag)):
        _done(["ip", "netns", "del", namespace])


def cut(one: Station, other: Station) -> None:
    """Let no packet of a station reach another one; the way back stays open.

    Raises
    ------
    LabError : iptables is missing or refuses.
    """
    _run(*other.within("iptables", "-A", *_dropped(one)))


def join(one: Station, other: Station) -> None:
    """Take a cut back."""
    _done(other.within("iptables", "-D", *_dropped(one)))


def mend(station: Station) -> None:
    """Take back all that was done to the packets that a station gets and sends."""
    _done(station.within("iptables", "-F", "INPUT"))
    release(station)


def release(station: Station) -> None:
    """Let a station send as fast as it can again."""
    _done(station.within("tc", "qdisc", "del", "dev", CABLE, "root"))


def slow(station: Station, bits_per_s: float) -> None:
    """Let a station send so many bits a second at most.

    Raises
    ------
    LabError : tc is missing or refuses.
    """
    shape = ("tbf", "rate", f"{bits_per_s:.0f}bit", "burst", "32kbit", "latency", "400ms")
    _run(*station.within("tc", "qdisc", "replace", "dev", CABLE, "root", *shape))


def delay(station: Station, delay_s: float) -> bool:
    """Let packets of a station take longer; return False where the kernel cannot."""
    shape = ("netem", "delay", f"{1e3 * delay_s:.0f}ms")
    words = station.within("tc", "qdisc", "replace", "dev", CABLE, "root", *shape)
    return _done(words) == ""


def _switch(tag: str) -> str:
    return f"peercell-{tag}"


def _plug(switch: str, port: str, station: Station) -> None:
    """Make a station and lay its cable."""
    place = station.namespace
    _run("ip", "netns", "add", place)
    ends = ("ip", "link", "add", port, "type", "veth", "peer", "name", CABLE, "netns", place)
    _inside(switch, *ends)
    _inside(switch, "ip", "link", "set", port, "master", "switch", "up")
    _run(*station.within("ip", "link", "set", "lo", "up"))
    address = f"{station.address}/{MASK_BITS}"
    _run(*station.within("ip", "address", "add", address, "dev", CABLE))
    _run(*station.within("ip", "link", "set", CABLE, "up"))


def _dropped(source: Station) -> tuple[str, ...]:
    """Return the rule by which what comes from a station is dropped."""
    return ("INPUT", "--source", source.address, "--jump", "DROP")


def _inside(namespace: str, *words: str) -> None:
    _run("ip", "netns", "exec", namespace, *words)


def _run(*words: str) -> None:
    why = _done(list(words))
    if why:
        raise LabError(
            f"cannot do `{' '.join(words)}`",
            why,
            "as root, with iproute2 and iptables installed: peercell fault doctor",
        )


def _done(words: Sequence[str]) -> str:
    """Run a command, and return why it did not work; "" when it did."""
    if shutil.which(words[0]) is None:
        return f"{words[0]} is not installed"
    done = subprocess.run(  # noqa: S603 - words of this page, and names that were checked
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    said = (done.stderr or done.stdout).strip()
    return "" if not done.returncode else said or f"exit code {done.returncode}"
