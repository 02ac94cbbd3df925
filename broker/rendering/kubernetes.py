"""A cell as manifests for Kubernetes, with a base and two overlays for kustomize."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from peercell.broker.rendering.services import (
    GRACE_S,
    HTTP_PORT,
    PORT,
    STATE,
    USER,
    Deployment,
    Service,
    refuse_mounts,
)
from peercell.broker.rendering.yaml_text import Value, yaml_text

KEYS = "/run/keys"
# Headless service in which every host has a name, whether it is ready or not.
SEEDS = "seeds"
PULSE = ("python", "-P", "-m", "peercell.broker.hosting.pulse")
# MB: a journal grows up to 256 MB in a turn, and there are rosters and logs.
PEER_DISK_MB = 300
DNS_PORT = 53

Manifest = Mapping[str, Value]


def manifests(cell: Deployment) -> Iterator[Manifest]:
    """Yield all objects of a cell but its secrets.

    Raises
    ------
    PeercellError : its config does not come with the image.
    """
    refuse_mounts(cell)
    yield _object("v1", "ConfigMap", cell, cell.cell) | {
        "data": cell.environment(KEYS, lambda service: f"{service.name}-0.{SEEDS}")
    }
    yield _seeds(cell)
    for service in cell.services:
        yield _stateful_set(cell, service)
        if service.http:
            yield _http(cell, service)
    yield _object("policy/v1", "PodDisruptionBudget", cell, cell.cell) | {
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(cell)}}
    }
    yield _network_policy(cell)
    yield _open_http(cell)


def render_kubernetes(cell: Deployment, command: str) -> str:
    """Return all manifests of a cell as one stream of YAML.

    Parameters
    ----------
    cell : what to run
    command : that renders it, for the head of the stream
    """
    head = (
        f'# Cell "{cell.cell}" for Kubernetes, made by `{command}`.\n'
        "# Its secrets are made from the folders of `peercell keys deal`, one for each host:\n"
        "#   kubectl create secret generic HOST-keys --from-file=keys/HOST\n"
    )
    return head + "".join(f"---\n{yaml_text(each)}" for each in manifests(cell))


def kustomization(cell: Deployment) -> dict[PurePosixPath, str]:
    """Return the files of a folder for `kubectl apply -k`: a base, and overlays of it.

    The keys of the hosts belong beside `base/kustomization.yaml`, in a folder `keys`.
    """
    base = PurePosixPath("base")
    files = {base / f"{_file(each)}.yaml": yaml_text(each) for each in manifests(cell)}
    generated: list[Value] = [
        {
            "name": f"{service.name}-keys",
            "files": [f"keys/{service.dealt}/{name}" for name in service.key_files],
        }
        for service in cell.services
    ]
    resources = sorted(path.name for path in files)
    files[base / "kustomization.yaml"] = yaml_text(
        _kustomize(resources=resources, secrets=generated)
    )
    for name, told in _overlays(cell).items():
        files[PurePosixPath("overlays") / name / "kustomization.yaml"] = yaml_text(told)
    return files


def _overlays(cell: Deployment) -> dict[str, Manifest]:
    """Return an overlay for one node with images of its own, and one for several nodes."""
    images = sorted({service.image for service in cell.services})
    spread: dict[str, Value] = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "any"},
        "spec": {
            "template": {
                "spec": {
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "kubernetes.io/hostname",
                            "whenUnsatisfiable": "ScheduleAnyway",
                            "labelSelector": {"matchLabels": _labels(cell)},
                        }
                    ]
                }
            }
        },
    }
    patch: dict[str, Value] = {"target": {"kind": "StatefulSet"}, "patch": yaml_text(spread)}
    named: list[Value] = [
        {
            "name": f"peercell-{image}",
            "newName": f"registry.example/peercell-{image}",
            "newTag": "latest",
        }
        for image in images
    ]
    base: list[Value] = ["../../base"]
    return {
        "one-node": _kustomize(resources=base),
        "nodes": _kustomize(resources=base, images=named, patches=[patch]),
    }


def _kustomize(
    *,
    resources: list[Value] | list[str],
    secrets: list[Value] | None = None,
    images: list[Value] | None = None,
    patches: list[Value] | None = None,
) -> dict[str, Value]:
    told: dict[str, Value] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
    }
    more = {"secretGenerator": secrets, "images": images, "patches": patches}
    return told | {key: value for key, value in more.items() if value}


def _object(api: str, kind: str, cell: Deployment, name: str) -> dict[str, Value]:
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "labels": _labels(cell)},
    }


def _labels(cell: Deployment, service: Service | None = None) -> dict[str, Value]:
    one: dict[str, Value] = {"app.kubernetes.io/component": service.name} if service else {}
    return {"app.kubernetes.io/name": "peercell", "app.kubernetes.io/instance": cell.cell} | one


def _seeds(cell: Deployment) -> Manifest:
    """Return the service by which hosts find each other at first; later they gossip."""
    return _object("v1", "Service", cell, SEEDS) | {
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": _labels(cell),
            "ports": [{"name": "peers", "port": PORT, "targetPort": "peers"}],
        }
    }


def _http(cell: Deployment, service: Service) -> Manifest:
    return _object("v1", "Service", cell, service.name) | {
        "spec": {
            "selector": _labels(cell, service),
            "ports": [{"name": "http", "port": HTTP_PORT, "targetPort": "http"}],
        }
    }


def _stateful_set(cell: Deployment, service: Service) -> Manifest:
    labels = _labels(cell, service)
    disk_mb = PEER_DISK_MB * len(service.peers)
    claim: dict[str, Value] = {
        "metadata": {"name": "state"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{disk_mb}Mi"}},
        },
    }
    return _object("apps/v1", "StatefulSet", cell, service.name) | {
        "spec": {
            "serviceName": SEEDS,
            "replicas": 1,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": _pod(cell, service)},
            "volumeClaimTemplates": [claim],
        }
    }


def _pod(cell: Deployment, service: Service) -> dict[str, Value]:
    keys: dict[str, Value] = {"secretName": f"{service.name}-keys", "defaultMode": 0o440}
    return {
        "automountServiceAccountToken": False,
        # The pause process is then the init, and waits for orphans.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(cell, service)],
        "volumes": [{"name": "keys", "secret": keys}],
    }


def _container(cell: Deployment, service: Service) -> dict[str, Value]:
    ports: list[Value] = [{"name": "peers", "containerPort": PORT}]
    if service.http:
        ports.append({"name": "http", "containerPort": HTTP_PORT})
    memory = f"{service.memory_mb}Mi"
    return {
        "name": "host",
        "image": f"peercell-{service.image}:latest",
        "imagePullPolicy": "IfNotPresent",
        "args": cell.arguments(service),
        "envFrom": [{"configMapRef": {"name": cell.cell}}],
        "ports": ports,
        # No limit of the processor: a peer that is held back looks like one that is dead.
        "resources": {"requests": {"cpu": "50m", "memory": memory}, "limits": {"memory": memory}},
        "startupProbe": _probe("alive", every_s=2, failures=60),
        # Whether the supervisor turns, and never whether others are there.
        "livenessProbe": _probe("alive", every_s=10, failures=3),
        "readinessProbe": _probe("ready", every_s=5, failures=2),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": STATE},
            {"name": "keys", "mountPath": KEYS, "readOnly": True},
        ],
    }


def _probe(what: str, *, every_s: int, failures: int) -> dict[str, Value]:
    return {
        "exec": {"command": (*PULSE, what)},
        "periodSeconds": every_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _network_policy(cell: Deployment) -> Manifest:
    """Return who may talk to whom: the hosts of the cell to each other, and to the name server."""
    last = max(service.ports[-1] for service in cell.services)
    peers: dict[str, Value] = {"protocol": "TCP", "port": PORT, "endPort": last}
    cell_pods: dict[str, Value] = {"podSelector": {"matchLabels": _labels(cell)}}
    names: list[Value] = [{"protocol": each, "port": DNS_PORT} for each in ("UDP", "TCP")]
    return _object("networking.k8s.io/v1", "NetworkPolicy", cell, cell.cell) | {
        "spec": {
            "podSelector": {"matchLabels": _labels(cell)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [cell_pods], "ports": [peers]}],
            "egress": [{"to": [cell_pods], "ports": [peers]}, {"ports": names}],
        }
    }


def _open_http(cell: Deployment) -> Manifest:
    """Return that everybody of the namespace may look at the observer."""
    (observer,) = (service for service in cell.services if service.http)
    anyone: dict[str, Value] = {"podSelector": {}}
    port: dict[str, Value] = {"protocol": "TCP", "port": "http"}
    return _object("networking.k8s.io/v1", "NetworkPolicy", cell, f"{observer.name}-http") | {
        "spec": {
            "podSelector": {"matchLabels": _labels(cell, observer)},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [anyone], "ports": [port]}],
        }
    }


def _file(manifest: Manifest) -> str:
    """Return the name of the file of an object."""
    metadata = manifest["metadata"]
    name = metadata["name"] if isinstance(metadata, Mapping) else ""
    return f"{name}-{str(manifest['kind']).lower()}"
