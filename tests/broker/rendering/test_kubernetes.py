"""The manifests are valid by the schemas of Kubernetes, and every name in them leads somewhere."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.broker.conftest import Run

from peercell.broker.cli import cli

ROOT = Path(__file__).parents[3]
CELL = str(ROOT / "configs/rural1.toml")
DAY = ("--day", "2016-05-28")
KUBERNETES = "1.31"

Manifest = dict[str, Any]


@pytest.fixture
def objects(run: Run) -> list[Manifest]:
    told = run("render", "k8s", CELL, *DAY)
    assert told.code == 0, told.err
    return [each for each in yaml.safe_load_all(told.out) if each]


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    assert run("render", "k8s", CELL, *DAY, "--out", str(tmp_path / "deploy")).code == 0
    return tmp_path / "deploy"


def of_kind(objects: list[Manifest], kind: str) -> list[Manifest]:
    found = [each for each in objects if each["kind"] == kind]
    assert found, kind
    return found


def pods(objects: list[Manifest]) -> dict[str, Manifest]:
    """Return the template of the pods of each set."""
    sets = of_kind(objects, "StatefulSet")
    return {each["metadata"]["name"]: each["spec"]["template"] for each in sets}


def selected(selector: Manifest, objects: list[Manifest]) -> list[str]:
    """Return the sets whose pods have all labels of a selector."""
    return [
        name
        for name, pod in pods(objects).items()
        if selector.items() <= pod["metadata"]["labels"].items()
    ]


@pytest.mark.slow
def test_every_object_is_valid_and_of_a_version_that_is_served(objects: list[Manifest]) -> None:
    """A misspelt field fails, and so does an API version that is gone: no schema has it."""
    for each in objects:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
    misspelt = of_kind(objects, "StatefulSet")[0]
    misspelt["spec"]["serviceNam"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelt, KUBERNETES, strict=True)
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        kubernetes_validate.validate(
            {**misspelt, "apiVersion": "apps/v1beta1"}, KUBERNETES, strict=True
        )


def test_no_two_objects_have_one_name(objects: list[Manifest]) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))


def test_selectors_select_what_they_are_for(objects: list[Manifest]) -> None:
    sets = of_kind(objects, "StatefulSet")
    everyone = [each["metadata"]["name"] for each in sets]
    for each in sets:
        assert selected(each["spec"]["selector"]["matchLabels"], objects) == [
            each["metadata"]["name"]
        ]
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "Service")}
    assert selected(services["seeds"]["selector"], objects) == everyone
    assert selected(services["observer"]["selector"], objects) == ["observer"]
    (budget,) = of_kind(objects, "PodDisruptionBudget")
    assert selected(budget["spec"]["selector"]["matchLabels"], objects) == everyone
    policies = {
        each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "NetworkPolicy")
    }
    assert selected(policies["rural1"]["podSelector"]["matchLabels"], objects) == everyone
    assert selected(policies["observer-http"]["podSelector"]["matchLabels"], objects) == [
        "observer"
    ]


def test_services_and_policies_lead_to_ports_that_are_there(objects: list[Manifest]) -> None:
    named = {
        name: {
            port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]
        }
        for name, pod in pods(objects).items()
    }
    for service in of_kind(objects, "Service"):
        for name in selected(service["spec"]["selector"], objects):
            for port in service["spec"]["ports"]:
                assert named[name][port["targetPort"]] == port["port"]
    assert named["observer"]["http"] == 8080
    sets = of_kind(objects, "StatefulSet")
    headless = [
        s["metadata"]["name"] for s in of_kind(objects, "Service") if "clusterIP" in s["spec"]
    ]
    assert {each["spec"]["serviceName"] for each in sets} == set(headless)


def test_what_pods_mount_and_read_is_there(objects: list[Manifest], folder: Path) -> None:
    made = yaml.safe_load((folder / "base/kustomization.yaml").read_text())
    secrets = {each["name"]: each["files"] for each in made["secretGenerator"]}
    maps = [each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")]
    sets = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "StatefulSet")}
    for name, pod in pods(objects).items():
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        claims = {each["metadata"]["name"] for each in sets[name]["volumeClaimTemplates"]}
        (container,) = pod["spec"]["containers"]
        assert {each["name"] for each in container["volumeMounts"]} == {*volumes, *claims}
        files = secrets[volumes["keys"]["secret"]["secretName"]]
        assert f"keys/{name}/cell.charter" in files
        assert all(each["configMapRef"]["name"] in maps for each in container["envFrom"])


def test_pods_run_what_our_command_line_takes_and_find_their_seeds(objects: list[Manifest]) -> None:
    (told,) = of_kind(objects, "ConfigMap")
    for name, pod in pods(objects).items():
        arguments = pod["spec"]["containers"][0]["args"]
        with cli.make_context("peercell", list(arguments)) as context:
            group, sub, rest = cli.resolve_command(context, list(arguments))
            assert sub is not None
            with sub.make_context(group, list(rest), parent=context) as parsed:
                assert parsed.params["chosen"] == (name,)
    for seed in told["data"]["PEERCELL_HOST_SEED"].split():
        host = seed.partition("tcp://")[2].partition(":")[0]
        pod_name, _, service = host.partition(".")
        assert pod_name.removesuffix("-0") in pods(objects)
        assert service == "seeds"


def test_pods_have_no_more_rights_than_they_need(objects: list[Manifest]) -> None:
    for pod in pods(objects).values():
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "cpu" not in container["resources"]["limits"]


def test_compose_swarm_and_kubernetes_run_the_same(run: Run, objects: list[Manifest]) -> None:
    compose = yaml.safe_load(run("render", "compose", CELL, *DAY).out)["services"]
    swarm = yaml.safe_load(run("render", "swarm", CELL, *DAY).out)["services"]
    hosts = {name: told for name, told in compose.items() if told.get("command", [""])[0] == "host"}
    assert set(hosts) == set(swarm) == set(pods(objects))
    for name, pod in pods(objects).items():
        (container,) = pod["spec"]["containers"]
        assert hosts[name]["command"] == swarm[name]["command"] == container["args"]
        image = container["image"].partition(":")[0]
        assert hosts[name]["image"] == image
        assert f"{image}:" in swarm[name]["image"]
        memory_mb = hosts[name]["mem_limit"].rstrip("m")
        assert container["resources"]["limits"]["memory"] == f"{memory_mb}Mi"
        assert swarm[name]["deploy"]["resources"]["limits"]["memory"] == f"{memory_mb}M"


def test_secrets_of_a_stack_are_those_of_its_hosts(run: Run) -> None:
    told = yaml.safe_load(run("render", "swarm", CELL, *DAY).out)
    used = {each["source"] for s in told["services"].values() for each in s["secrets"]}
    assert used == set(told["secrets"])
    for service in told["services"].values():
        assert all((each["uid"], each["mode"]) == ("10001", 0o400) for each in service["secrets"])
        assert service["deploy"]["update_config"]["order"] == "stop-first"


def test_a_config_outside_of_the_image_is_refused(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(Path(CELL).read_text())
    for kind in ("swarm", "k8s"):
        told = run("render", kind, str(own))
        assert (told.code, "does not come with the image" in told.err) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["one-node", "nodes"])
def test_overlays_build(run: Run, folder: Path, overlay: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    assert run("keys", "deal", CELL, "--out", str(folder / "base/keys")).code == 0
    built = subprocess.run(
        ["kubectl", "kustomize", str(folder / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    found = [each for each in yaml.safe_load_all(built.stdout) if each]
    assert len(of_kind(found, "Secret")) == len(of_kind(found, "StatefulSet"))
    for each in found:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    spread = ["topologySpreadConstraints" in pod["spec"] for pod in pods(found).values()]
    assert set(spread) == {overlay == "nodes"}
