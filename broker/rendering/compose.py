"""A cell as a Compose file, for docker-compose 1.29.2 and Compose v2 alike."""

from collections.abc import Iterator, Mapping

from peercell.broker.rendering.services import (
    GRACE_S,
    HTTP_PORT,
    MOUNTED,
    STATE,
    USER,
    Deployment,
)
from peercell.broker.rendering.yaml_text import Value, Verbatim, yaml_text

KEYS, SECRETS = "/run/keys", "/run/secrets"
BASE = "${PEERCELL_BASE:-python:3.11-slim-bookworm}"
_HEAD = """\
# {title}
# Made by
#   {command}
# so change the config, or what renders it.
#
#   docker compose up --build            the cell: http://127.0.0.1:8080/ shows it, so does its log
#   docker compose run --rm test         the fast tests
#   docker compose run --rm tools demo   any command, such as a cell in one container
"""
_SPLIT = """\
#   docker compose --profile split up {observer}
#                                        a smaller cell, with one container a peer
"""


def render_compose(
    cell: Deployment, split: Deployment | None, command: str, secrets: str = ""
) -> str:
    """Return a Compose file.

    Parameters
    ----------
    cell : that `up` starts
    split : a second one, in profile `split`; None for none
    command : that renders it, for the head of the file
    secrets : folder of the keys that `peercell keys deal` has made; "" to make them at the start
    """
    services: dict[str, Value] = {}
    volumes: dict[str, Value] = {}
    networks: dict[str, Value] = {}
    given: dict[str, Value] = {}
    shared: dict[str, Value] = {}
    for each in (cell, split):
        if each is not None:
            shared[f"x-{each.cell}"] = _shared(each, secrets)
            services |= dict(_services(each, secrets))
            volumes |= {name: {} for name in _volumes(each, secrets)}
            networks[each.cell] = {}
            given |= {name: {"file": path} for name, path in _key_files(each, secrets)}
    told: dict[str, Value] = {
        "x-agent": _image("agent"),
        "x-grid": _image("grid"),
        **shared,
        "services": {**services, **_tools()},
        "networks": networks,
        "volumes": volumes,
    }
    if secrets:
        told["secrets"] = given
    head = _HEAD.format(title=f'Cell "{cell.cell}" in containers.', command=command)
    if split is not None:
        head += _SPLIT.format(observer=split.services[-1].name)
    return f"{head}\n{yaml_text(told)}"


def _shared(cell: Deployment, secrets: str) -> dict[str, Value]:
    """Return what all hosts of a cell have in common."""
    profile: dict[str, Value] = {"profiles": ["split"]} if cell.split else {}
    told = cell.environment(SECRETS if secrets else KEYS)
    return {"&": cell.cell, **profile, "environment": told, "networks": [cell.cell]}


def _image(target: str) -> dict[str, Value]:
    """Return what all hosts of an image have in common."""
    return {
        "&": target,
        "image": f"peercell-{target}",
        "build": {"context": ".", "target": target, "args": {"BASE": BASE}},
        "init": True,
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "stop_grace_period": f"{GRACE_S}s",
    }


def _services(cell: Deployment, secrets: str) -> Iterator[tuple[str, Value]]:
    dealer = f"{cell.cell}-keys"
    if not secrets:
        yield dealer, _dealer(cell)
    for service in cell.services:
        state = f"{service.name}-state:{STATE}"
        keys = () if secrets else (f"{service.name}-keys:{KEYS}:ro",)
        mount = () if cell.mount is None else (f"{_here(cell)}:{MOUNTED}:ro",)
        both = Verbatim(f"[*{service.image}, *{cell.cell}]")
        told: dict[str, Value] = {"<<": both, "command": cell.arguments(service)}
        told["volumes"] = [state, *keys, *mount]
        told["mem_limit"] = f"{service.memory_mb}m"
        if secrets:
            told["secrets"] = [
                {"source": f"{cell.cell}.{each}", "target": each} for each in service.key_files
            ]
        else:
            told["depends_on"] = {dealer: {"condition": "service_completed_successfully"}}
        if service.http:
            port = "${PEERCELL_SPLIT_PORT:-8081}" if cell.split else "${PEERCELL_PORT:-8080}"
            told["ports"] = [f"127.0.0.1:{port}:{HTTP_PORT}"]
        if cell.split and service.http:
            others = (each for each in cell.services if not each.http)
            started: Mapping[str, Value] = {
                each.name: {"condition": "service_started"} for each in others
            }
            before = told.get("depends_on", {})
            told["depends_on"] = {**(before if isinstance(before, Mapping) else {}), **started}
        yield service.name, told


def _dealer(cell: Deployment) -> dict[str, Value]:
    """Return the service that makes the keys of all hosts once, each in a volume of its own."""
    keys = [f"{service.name}-keys:/keys/{service.dealt}" for service in cell.services]
    mount = () if cell.mount is None else (f"{_here(cell)}:{MOUNTED}:ro",)
    return {
        "<<": Verbatim("*agent"),
        **({"profiles": ["split"]} if cell.split else {}),
        "command": (*cell.dealing, "--out", "/keys", "--owner", str(USER)),
        # Gives each file to the user of the host, and can do nothing else.
        "user": "0:0",
        "environment": {"PEERCELL_HOME": "/keys"},
        "cap_add": ["CHOWN"],
        "network_mode": "none",
        "restart": Verbatim('"no"'),
        "healthcheck": {"disable": True},
        "volumes": [f"{cell.cell}-operator:/keys/operator", *keys, *mount],
    }


def _volumes(cell: Deployment, secrets: str) -> Iterator[str]:
    if not secrets:
        yield f"{cell.cell}-operator"
        yield from (f"{service.name}-keys" for service in cell.services)
    yield from (f"{service.name}-state" for service in cell.services)


def _tools() -> dict[str, Value]:
    """Return what people run by hand."""
    build: dict[str, Value] = {"context": ".", "args": {"BASE": BASE}}
    return {
        "test": {
            "profiles": ["test"],
            "image": "peercell-test",
            "build": {**build, "target": "test"},
            "init": True,
            "network_mode": "none",
        },
        "tools": {
            "profiles": ["tools"],
            "image": "peercell-tools",
            "build": {**build, "target": "tools"},
            "init": True,
            "read_only": True,
            "tmpfs": [f"{STATE}:uid={USER},gid={USER},mode=0700"],
            "network_mode": "none",
        },
    }


def _key_files(cell: Deployment, secrets: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each secret of a cell, and the file that it is made from."""
    for service in cell.services:
        for name in service.key_files:
            yield f"{cell.cell}.{name}", f"{secrets}/{service.dealt}/{name}"


def _here(cell: Deployment) -> str:
    """Return the folder of a config as Compose wants it: it takes a bare name for a volume."""
    path = str(cell.mount)
    return path if path.startswith(("/", ".")) else f"./{path}"
