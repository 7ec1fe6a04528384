"""The image and the composition: what they name exists, agrees with the settings, and has no needless rights."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from flows.command.health import Asked
from flows.settings import Api, Hub, Metrics, Replay, Settings, load_settings
from flows.supervision.deployment import demo_processes, live_processes
from tests import image_bundle
from tests.commands_page import commands
from tests.marked import ROOT

DEPLOY = ROOT / "deploy"
CONTAINERFILE = DEPLOY / "Containerfile"
COMPOSE = DEPLOY / "compose.yaml"
OBSERVATION = DEPLOY / "observation"
PINNABLE = re.compile(r"\$\{[A-Z]+_IMAGE:-(?P<name>[a-z0-9./-]+):(?P<tag>[a-z0-9.-]+)\}")
ONE_SHOT = {"mongodb-init", "mongodb-init-demo"}
HEALTH_OF_OTHERS = {
    "mongodb": ["mongosh"],
    "prometheus": ["promtool", "check", "healthy"],
    "alertmanager": ["amtool"],
    "grafana": ["wget"],
}


def composition() -> dict[str, Any]:
    """The file with the defaults of its variables."""
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", COMPOSE.read_text()))
    return found


SERVICES: dict[str, Any] = composition()["services"]
OURS = {name: one for name, one in SERVICES.items() if one["image"].startswith("localhost/marketflow")}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MARKETFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def use(environment: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that a process gets from these variables, with a file for each secret in `folder`."""
    for name, value in environment.items():
        told = str(value)
        if name.endswith("_FILE"):
            told = str(folder / Path(told).name)
            Path(told).write_text("a-secret\n")
        monkeypatch.setenv(name, told)
    return load_settings()


def instructions() -> Iterator[tuple[str, str]]:
    """The instructions of the Containerfile with their arguments, in order."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        name, _, rest = line.partition(" ")
        yield name, " ".join(rest.split())


def only(name: str) -> str:
    """The arguments of an instruction that stands there once."""
    [found] = [rest for each, rest in instructions() if each == name]
    return found


# --- the image ---


def hadolint(path: Path) -> list[str]:
    tool = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([tool, "--format", "json", path], capture_output=True, text=True, check=False)
    return [found["code"] for found in json.loads(ran.stdout)]


@pytest.mark.skipif(sys.platform == "win32", reason="hadolint has no package there")
def test_hadolint_finds_nothing_and_would(tmp_path: Path) -> None:
    assert hadolint(CONTAINERFILE) == []
    (tmp_path / "Containerfile").write_text("FROM debian:latest\nRUN cd / && sudo true\n")
    assert "DL3007" in hadolint(tmp_path / "Containerfile")


def test_every_stage_has_the_base_that_can_be_pinned() -> None:
    assert [rest for name, rest in instructions() if name == "ARG"] == [
        "PYTHON_IMAGE=docker.io/library/python:3.12-slim-bookworm",
        "BUILD_IMAGE=docker.io/library/python:3.12-bookworm",
    ]
    assert [rest for name, rest in instructions() if name == "FROM"] == ["${BUILD_IMAGE} AS build", "${PYTHON_IMAGE}"]


def test_the_wheel_builds_of_what_is_copied(tmp_path: Path) -> None:
    """The folders are links, so what is tested is that no file that the build needs is left out."""
    sources = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    for path in (Path(source) for of_one in sources for source in of_one):
        (tmp_path / "src" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / path).symlink_to(ROOT / path)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=tmp_path / "src", check=True, capture_output=True, env=os.environ | {"CC": "missing"})
    assert [path.suffix for path in (tmp_path / "dist").iterdir()] == [".whl"]


def test_the_ports_of_the_image_are_the_defaults() -> None:
    assert only("EXPOSE") == f"{Api().port} {Hub().port} {Metrics().port}"


def test_the_commands_of_the_image_exist() -> None:
    [entry], [command] = json.loads(only("ENTRYPOINT")), json.loads(only("CMD"))
    health = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    assert (entry, health) == ("marketflow", ["marketflow", "health"])
    assert {command, health[1]} <= commands().keys()


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    lines = [line for line in (ROOT / ".containerignore").read_text().splitlines() if not line.startswith("#")]
    kept = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for name, rest in instructions()
        if name == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert lines[0] == "*"
    assert copied == kept
    assert not [path for path in copied if not (ROOT / path).exists()]
    assert (ROOT / ".dockerignore").resolve() == ROOT / ".containerignore"


def test_what_builds_the_wheel_is_pinned() -> None:
    """The pattern in the Containerfile takes the backend and all that it needs out of the developers' lock."""
    [pattern] = re.findall(r"\^\(([a-z|-]+)\)==", CONTAINERFILE.read_text())
    lock = (DEPLOY / "requirements-dev.lock").read_text()
    pinned = re.findall(rf"^({pattern})==\S+ \\$", lock, re.MULTILINE)
    assert sorted(pinned) == sorted(pattern.split("|"))


def test_a_container_of_the_image_has_no_rights() -> None:
    image = {
        "User": "10001:10001", "Entrypoint": ["marketflow"], "Env": ["A=b"], "WorkingDir": "/data",
        "Volumes": {"/data": {}}, "Healthcheck": {"Test": ["CMD", "marketflow", "health"]},
    }  # fmt: skip
    made = image_bundle.bundle(image, "/somewhere", ["demo"])
    assert made["root"]["readonly"]
    assert made["process"]["args"] == ["marketflow", "demo"]
    assert made["process"]["noNewPrivileges"]
    assert not any(made["process"]["capabilities"].values())
    assert {one["destination"] for one in made["mounts"]} == {"/proc", "/dev", "/tmp", "/data"}
    assert image_bundle.health(image) == "marketflow health"


# --- the composition ---


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_can_be_pinned_by_its_digest(name: str) -> None:
    block = yaml.safe_load(COMPOSE.read_text())["services"][name]
    match = PINNABLE.fullmatch(block["image"])
    assert match
    assert match["tag"] != "latest"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_bounds_and_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["pids_limit"]
    assert set(service["profiles"]) <= {"demo", "live"}
    assert name in OURS or re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", [name for name, one in OURS.items() if "environment" in one])
def test_the_settings_of_every_process_can_be_used(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = OURS[name]
    settings = use(service["environment"], tmp_path, monkeypatch)
    assert (settings.hub.port, settings.api.port, settings.metrics.port) == (8765, 8080, 9464)
    assert "marketflow:a-secret@mongodb:27017" in settings.mongo.uri
    first, flag, part = service["command"]
    assert (first, flag) == ("run", "--only")
    assert part in {spec.name for spec in live_processes(load_settings())}
    assert not any(spec.name == "mongod" for spec in live_processes(load_settings()))


def places(settings: Settings) -> dict[str, tuple[str, ...]]:
    """By venue its origin, the paths below the exchange's address, and its symbols."""
    return {
        name: (feed.origin, *(urlsplit(str(url)).path for url in (feed.ws_url, feed.rest_url)), *feed.symbols)
        for name, feed in settings.by_venue.items()
    }


@pytest.mark.parametrize("name", ["flow-demo", "api-demo"])
def test_the_demo_is_the_one_of_the_command(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as variables:
        composed = places(use(OURS[name]["environment"], tmp_path, variables))
    exchange, *_, own = demo_processes(Settings())
    with monkeypatch.context() as variables:
        for variable, value in own.env.items():
            variables.setenv(variable, value)
        assert composed == places(load_settings())
    script = shlex.split((DEPLOY / "compose" / "exchange.sh").read_text().replace("\\\n", " "), comments=True)
    for option in ("--seed", "--beside", "--symbols"):
        assert values_of(option, script) == values_of(option, exchange.argv)


def values_of(option: str, argv: Sequence[str]) -> list[str]:
    """What follows an option of a command, up to the next one."""
    return list(takewhile(lambda word: not word.startswith("--"), argv[argv.index(option) + 1 :]))


def test_secrets_are_files_and_stand_nowhere_else() -> None:
    named = composition()["secrets"]
    made = re.findall(r"^for name in (.+); do$", (DEPLOY / "compose" / "secrets.sh").read_text(), re.MULTILINE)
    assert sorted(made[0].split()) == sorted(named)
    for name, service in SERVICES.items():
        mounted = {f"/run/secrets/{secret}" for secret in service.get("secrets", ())}
        environment: dict[str, str] = service.get("environment", {})
        files = {value for key, value in environment.items() if key.endswith("_FILE")}
        assert files <= mounted, name
        words = {key for key in environment if re.search("TOKEN|PASSWORD", key) and not key.endswith("_FILE")}
        assert not words, name


def test_secrets_are_made_once_and_can_be_read_inside_alone(tmp_path: Path) -> None:
    (tmp_path / "compose").mkdir()
    shutil.copy(DEPLOY / "compose" / "secrets.sh", tmp_path / "compose")
    contents = []
    for _ in range(2):
        subprocess.run([tmp_path / "compose" / "secrets.sh"], check=True)
        contents.append({path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()})
    assert contents[0] == contents[1]
    assert contents[0].keys() == composition()["secrets"].keys()
    assert len(set(contents[0].values())) == len(contents[0])
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_what_is_mounted_exists_and_volumes_are_named() -> None:
    volumes = composition()["volumes"]
    for name, service in SERVICES.items():
        for mount in service.get("volumes", ()):
            source, _, rest = mount.partition(":")
            if source.startswith("."):
                assert (DEPLOY / source).exists(), mount
                assert rest.endswith(":ro"), mount
            else:
                assert source in volumes, (name, mount)


@pytest.mark.parametrize("profile", ["demo", "live"])
def test_a_profile_is_whole(profile: str) -> None:
    started = {name: one for name, one in SERVICES.items() if profile in one["profiles"]}
    for name, service in started.items():
        assert service.get("depends_on", {}).keys() <= started.keys(), name
    names = set(started)
    for service in started.values():
        names |= set((service.get("networks") or {}).get("default", {}).get("aliases", ()))
    wanted = {"flow", "api", "mongodb", "prometheus", "alertmanager"}
    assert wanted <= names
    for path in ("prometheus.yml", "datasource.yml"):
        text = (DEPLOY / "compose" / path).read_text()
        assert set(re.findall(r"(?://|')([a-z]+):\d", text)) <= names
    assert ("exchange" in names) == (profile == "demo")


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOT))
def test_the_health_of_every_service_is_asked(name: str) -> None:
    service = SERVICES[name]
    check = service.get("healthcheck", {}).get("test")
    if check is None:
        assert service["command"] == ["run", "--only", "api"], "the image's own asks the API"
    elif check[1] == "marketflow":
        assert check[2] in commands()
        assert check[3] in set(Asked)
    elif name in OURS:
        assert check[1:3] == ["python", "-c"]
        compile(check[3], name, "exec")
        assert f"'127.0.0.1', {Replay().port}" in check[3]
    else:
        wanted = HEALTH_OF_OTHERS[name]
        assert check[1 : 1 + len(wanted)] == wanted


def test_the_observation_is_the_same_at_other_addresses(tmp_path: Path) -> None:
    text = (DEPLOY / "compose" / "prometheus.yml").read_text()
    ours, theirs = yaml.safe_load(text), yaml.safe_load((OBSERVATION / "prometheus" / "prometheus.yml").read_text())
    for scraped in (*ours["scrape_configs"], *theirs["scrape_configs"]):
        scraped.pop("authorization", None)
    same = re.sub(r"(flow|api|alertmanager):(\d+)", r"127.0.0.1:\2", json.dumps(ours))
    assert json.loads(same) == theirs
    source = yaml.safe_load((DEPLOY / "compose" / "datasource.yml").read_text())
    original = yaml.safe_load((OBSERVATION / "grafana/provisioning/datasources/prometheus.yml").read_text())
    source["datasources"][0]["url"] = original["datasources"][0]["url"]
    assert source == original
    if promtool := shutil.which("promtool"):
        (tmp_path / "token").write_text("x")
        (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets/token", str(tmp_path / "token")))
        shutil.copy(OBSERVATION / "prometheus" / "rules.yml", tmp_path)
        subprocess.run([promtool, "check", "config", tmp_path / "prometheus.yml"], check=True, capture_output=True)


def test_the_boards_are_where_their_provider_looks() -> None:
    grafana = SERVICES["grafana"]
    provider = (OBSERVATION / "grafana/provisioning/dashboards/marketflow.yml").read_text()
    assert "path: $BOARDS" in provider
    assert f"./observation/grafana/boards:{grafana['environment']['BOARDS']}:ro" in grafana["volumes"]


def test_dclint_finds_nothing() -> None:
    tool = shutil.which("dclint")
    if tool is None:
        pytest.skip("dclint is not installed: npm has it")
    ran = subprocess.run(
        [tool, "--config", DEPLOY / ".dclintrc.yaml", "--max-warnings", "0", COMPOSE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
