"""A cell as a stack for Docker Swarm."""

from collections.abc import Iterator

from peercell.broker.rendering.services import (
    GRACE_S,
    HTTP_PORT,
    STATE,
    USER,
    Deployment,
    refuse_mounts,
)
from peercell.broker.rendering.yaml_text import Value, yaml_text

SECRETS = "/run/secrets"
IMAGE = "${{PEERCELL_REGISTRY:-}}peercell-{}:${{PEERCELL_TAG:-latest}}"
_HEAD = """\
# Cell "{cell}" as a stack for Docker Swarm.
# Made by
#   {command}
# so change the config, or what renders it.
#
#   peercell keys deal {config} --out {keys}
#   docker stack deploy --compose-file {cell}.yml {cell}
#   PEERCELL_REGISTRY=registry.example/ names where other nodes get the images from

"""


def render_swarm(cell: Deployment, config: str, command: str, keys: str) -> str:
    """Return a stack file.

    Parameters
    ----------
    cell : what to run
    config : path of its config, for the head of the file
    command : that renders it
    keys : folder that `peercell keys deal` has made

    Raises
    ------
    PeercellError : its config does not come with the image.
    """
    refuse_mounts(cell)
    told: dict[str, Value] = {
        "version": "3.8",
        "services": dict(_services(cell)),
        "networks": {cell.cell: {"driver": "overlay"}},
        "volumes": {f"{service.name}-state": {} for service in cell.services},
        "secrets": dict(_secrets(cell, keys)),
    }
    head = _HEAD.format(cell=cell.cell, config=config, command=command, keys=keys)
    return head + yaml_text(told)


def _services(cell: Deployment) -> Iterator[tuple[str, Value]]:
    for service in cell.services:
        told: dict[str, Value] = {
            "image": IMAGE.format(service.image),
            "command": cell.arguments(service),
            "environment": cell.environment(SECRETS),
            "init": True,
            "read_only": True,
            "cap_drop": ["ALL"],
            "stop_grace_period": f"{GRACE_S}s",
            "networks": [cell.cell],
            "volumes": [f"{service.name}-state:{STATE}"],
            "secrets": [
                {
                    "source": f"{cell.cell}.{name}",
                    "target": name,
                    "uid": str(USER),
                    "gid": str(USER),
                    "mode": 0o400,
                }
                for name in service.key_files
            ],
            "deploy": {
                # A name is then the address of the task itself, at all of its ports.
                "endpoint_mode": "dnsrr",
                "replicas": 1,
                "resources": {"limits": {"memory": f"{service.memory_mb}M"}},
                "restart_policy": {"condition": "any", "delay": "1s"},
                # Two copies of a peer would be taken for a stolen key.
                "update_config": {"order": "stop-first"},
            },
        }
        if service.http:
            port: dict[str, Value] = {"target": HTTP_PORT, "published": HTTP_PORT, "mode": "host"}
            told["ports"] = [port]
        yield service.name, told


def _secrets(cell: Deployment, keys: str) -> Iterator[tuple[str, Value]]:
    for service in cell.services:
        for name in service.key_files:
            yield f"{cell.cell}.{name}", {"file": f"{keys}/{service.dealt}/{name}"}
