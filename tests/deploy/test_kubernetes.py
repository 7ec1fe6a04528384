"""The manifests: Kubernetes takes them, and they agree with the settings and with each other."""

import os
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from flows.settings import Rest, load_settings
from flows.supervision.deployment import live_processes
from tests.commands_page import commands
from tests.deploy.test_containers import use
from tests.marked import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OLDEST = "1.31"
"""The first version in which a StatefulSet may count from 1 without asking for it."""
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS: list[dict[str, Any]] = [
    one for name in KUSTOMIZATION["resources"] for one in yaml.safe_load_all((FOLDER / name).read_text())
]


def find(kind: str, name: str) -> Any:
    [found] = [one for one in OBJECTS if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


FLOW, API = find("StatefulSet", "marketflow-flow"), find("Deployment", "marketflow-api")
WORKLOADS = pytest.mark.parametrize("workload", [FLOW, API], ids=["flow", "api"])


def pod_of(workload: dict[str, Any]) -> Any:
    return workload["spec"]["template"]["spec"]


def container_of(workload: dict[str, Any]) -> Any:
    [found] = pod_of(workload)["containers"]
    return found


def variables(workload: dict[str, Any], index: int = 1) -> dict[str, str]:
    """The environment of a pod of this number, as Kubernetes puts it together."""
    files = {one["name"]: one["envs"] for one in KUSTOMIZATION["configMapGenerator"]}
    container = container_of(workload)
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        for file in files[source["configMapRef"]["name"]]:
            lines = [line for line in (FOLDER / file).read_text().splitlines() if line and not line.startswith("#")]
            found |= dict(line.split("=", 1) for line in lines)
    found |= {one["name"]: one["value"] for one in container.get("env", ()) if "value" in one}
    return {name: value.replace("$(POD_INDEX)", str(index)) for name, value in found.items()}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MARKETFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("version", [OLDEST, "1.35"])
def test_kubernetes_takes_every_object(version: str) -> None:
    for one in OBJECTS:
        kubernetes_validate.validate(one, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**API, "spec": {**API["spec"], "replica": 2}}, version, strict=True)


def test_every_file_belongs_to_it() -> None:
    named = {*KUSTOMIZATION["resources"], *(env for one in KUSTOMIZATION["configMapGenerator"] for env in one["envs"])}
    assert {path.name for path in FOLDER.iterdir()} == {*named, "kustomization.yaml"}


@WORKLOADS
def test_the_settings_can_be_used(workload: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = use(variables(workload), tmp_path, monkeypatch)
    assert "marketflow:a-secret@" in settings.mongo.uri
    container = container_of(workload)
    *run, part = container["args"]
    assert run == ["run", "--only"]
    assert part in {spec.name for spec in live_processes(load_settings())}
    default = {"hub": settings.hub.port, "metrics": settings.metrics.port, "http": settings.api.port}
    assert (settings.hub.port, settings.metrics.port, settings.api.port) == (8765, 9464, 8080)
    for port in container["ports"]:
        assert port["containerPort"] == default[port["name"]]


@WORKLOADS
def test_secrets_are_where_the_settings_look(workload: Any) -> None:
    mounts = {one["name"]: one["mountPath"] for one in container_of(workload)["volumeMounts"]}
    volumes = {one["name"]: one for one in pod_of(workload)["volumes"]}
    assert volumes["secrets"]["secret"]["secretName"] == "marketflow"
    files = [value for name, value in variables(workload).items() if name.endswith("_FILE")]
    assert files
    assert all(str(Path(file).parent) == mounts["secrets"] for file in files)


@WORKLOADS
def test_a_pod_has_no_rights_and_writes_to_its_volumes_alone(workload: Any) -> None:
    pod, container = pod_of(workload), container_of(workload)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    text = (ROOT / "deploy" / "Containerfile").read_text()
    [(uid, gid)] = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert pod["securityContext"]["runAsUser"] == int(uid)
    assert pod["securityContext"]["fsGroup"] == int(gid)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {"/data", "/tmp"} <= {one["mountPath"] for one in container["volumeMounts"]}
    assert container["resources"]["limits"]["memory"]


@WORKLOADS
def test_service_links_set_no_variables(workload: Any) -> None:
    """Those of a service `marketflow-api` would be refused as unknown settings."""
    assert pod_of(workload)["enableServiceLinks"] is False


@WORKLOADS
def test_probes_ask_what_exists(workload: Any) -> None:
    container = container_of(workload)
    ports = {port["name"] for port in container["ports"]}
    from_api = {"/health/live", "/health/ready"}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container[name]
        if "exec" in probe:
            command, *rest = probe["exec"]["command"]
            assert (command, rest) == ("marketflow", ["health", "flow"])
            assert rest[0] in commands()
        elif "httpGet" in probe:
            assert probe["httpGet"]["path"] in from_api
            assert probe["httpGet"]["port"] in ports
        else:
            assert probe["tcpSocket"]["port"] in ports
    assert container_of(API)["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container_of(API)["livenessProbe"]["httpGet"]["path"] == "/health/live"


def test_the_shards_take_every_symbol_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replicas, start = FLOW["spec"]["replicas"], FLOW["spec"]["ordinals"]["start"]
    owned: list[str] = []
    for index in range(start, start + replicas):
        settings = use(variables(FLOW, index), tmp_path, monkeypatch)
        owned += settings.feed.own_symbols
    assert sorted(owned) == sorted(settings.feed.symbols)
    assert settings.rest.weight_share * replicas <= Rest().weight_share


def test_the_api_follows_the_hub_of_every_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = FLOW["spec"]
    settings = use(variables(API), tmp_path, monkeypatch)
    names = [f"{FLOW['metadata']['name']}-{spec['ordinals']['start'] + each}" for each in range(spec["replicas"])]
    assert settings.hub_urls == tuple(f"ws://{name}.{spec['serviceName']}:8765/ws" for name in names)
    assert len(settings.api.page_hub_urls) == spec["replicas"]
    service = find("Service", spec["serviceName"])
    assert service["spec"]["clusterIP"] == "None"


def test_services_budgets_and_policies_mean_these_pods() -> None:
    for workload in (FLOW, API):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        name = workload["metadata"]["name"]
        assert workload["spec"]["selector"]["matchLabels"] == labels
        assert find("Service", name)["spec"]["selector"] == labels
        assert find("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels
        policy = find("NetworkPolicy", name)["spec"]
        assert policy["podSelector"]["matchLabels"] == labels
        opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
        assert opened == {port["containerPort"] for port in container_of(workload)["ports"]}
    assert find("NetworkPolicy", "marketflow-nothing")["spec"]["podSelector"] == {}
    assert find("PodDisruptionBudget", "marketflow-api")["spec"]["minAvailable"] < API["spec"]["replicas"]


def test_the_image_can_be_pinned() -> None:
    [image] = KUSTOMIZATION["images"]
    assert {container_of(FLOW)["image"], container_of(API)["image"]} == {image["name"]}
    assert image["newTag"] != "latest"
