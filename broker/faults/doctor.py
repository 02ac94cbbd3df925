"""Which ways there are on this machine to break a cell, and which one is used for what."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

from peercell.broker.doctor import Finding, Health

PROBE_S = 5.0
# In a network of its own, so that nothing of this machine's is touched.
_ALONE = ("unshare", "--user", "--map-root-user", "--net")


def ways() -> list[Finding]:
    """Return what can be used to break links, processes and containers."""
    return [_shim(), _signals(), *_kernel(), _namespaces(), _containers()]


def _shim() -> Finding:
    found = "used for all faults of links: in each process, before the socket; needs no rights"
    return Finding(health=Health.OK, check="shim", found=found)


def _signals() -> Finding:
    """Stop a process of ours, let it go on, and end it."""
    command = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:  # noqa: S603 - our own
        child.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        stopped = os.WIFSTOPPED(status)
        child.send_signal(signal.SIGCONT)
        child.kill()
    if stopped:
        found = "used for kill, pause and slow: the supervisor signals to its own processes"
        return Finding(health=Health.OK, check="signals", found=found)
    fix = "run where processes may be stopped, not under a debugger"
    return Finding(health=Health.FAIL, check="signals", found="SIGSTOP does nothing", fix=fix)


def _kernel() -> Iterator[Finding]:
    """Look what the kernel could do to packets; only the lab uses it."""
    probes = {
        "netem": (*_ALONE, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "1%"),
        "tbf": (
            *_ALONE, "tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "1mbit",
            "burst", "32kbit", "latency", "400ms",
        ),
        "iptables": (*_ALONE, "iptables", "-A", "INPUT", "-s", "198.18.0.1", "-j", "DROP"),
    }  # fmt: skip
    for name, command in probes.items():
        why = _fails(command)
        found = f"not to be had: {why}" if why else "to be had"
        said = f"{found}; used by peercell lab alone, since TCP hides what happens to packets"
        yield Finding(health=Health.OK, check=name, found=said)


def _namespaces() -> Finding:
    """Make a network namespace that others of this machine see, and remove it again."""
    name = f"peercell-probe-{os.getpid()}"
    why = _fails(("ip", "netns", "add", name))
    if why:
        found = f"not to be had: {why}; peercell lab needs them"
        return Finding(health=Health.OK, check="namespaces", found=found)
    _fails(("ip", "netns", "del", name))
    found = "used by peercell lab: a cell across networks of its own, with cables to cut"
    return Finding(health=Health.OK, check="namespaces", found=found)


def _containers() -> Finding:
    why = _fails(("docker", "info", "--format", "{{.ServerVersion}}"))
    found = f"not to be had: {why}" if why else "to be had: docker pause, kill, network disconnect"
    said = f"{found}; not used, since peers are processes of one supervisor"
    return Finding(health=Health.OK, check="containers", found=said)


def _fails(command: Sequence[str]) -> str:
    """Return why a command does not work here; "" when it does."""
    programs = {command[0], command[len(_ALONE)] if command[0] == _ALONE[0] else command[0]}
    missing = [program for program in sorted(programs) if shutil.which(program) is None]
    if missing:
        return f"{missing[0]} is not installed"
    try:
        done = subprocess.run(  # noqa: S603 - words of this page
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if not done.returncode:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[0] if said else f"exit code {done.returncode}"
