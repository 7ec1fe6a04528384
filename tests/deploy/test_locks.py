"""The two locks: what runs, and what developers need besides."""

import re
import tomllib
from collections.abc import Mapping

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.marked import ROOT
from tests.platforms import LOCKS, PYTHONS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SYSTEMS = [
    ("linux", "Linux", "x86_64"),
    ("linux", "Linux", "aarch64"),
    ("darwin", "Darwin", "arm64"),
    ("win32", "Windows", "AMD64"),
]


def locked(lock: str) -> dict[str, list[Requirement]]:
    """The pinned requirements of a lock, by name."""
    lines = (line for line in (ROOT / "deploy" / lock).read_text().splitlines() if re.match(r"\w", line))
    pins: dict[str, list[Requirement]] = {}
    for pin in (Requirement(line.rstrip(" \\")) for line in lines):
        pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def applies(requirement: Requirement, environment: Mapping[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(dict(environment))


def test_what_runs_is_part_of_what_developers_have_in_the_same_versions() -> None:
    runs, developers = (
        {(name, str(pin.specifier), str(pin.marker)) for name, pins in locked(lock).items() for pin in pins}
        for lock in LOCKS
    )
    assert runs < developers


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("sys_platform", "platform_system", "platform_machine"), SYSTEMS)
def test_every_dependency_is_pinned_once_on_every_platform(
    sys_platform: str, platform_system: str, platform_machine: str, python: str
) -> None:
    environment = {
        **{key: str(value) for key, value in default_environment().items()},
        "sys_platform": sys_platform,
        "platform_system": platform_system,
        "platform_machine": platform_machine,
        "os_name": "nt" if sys_platform == "win32" else "posix",
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    pins = locked("requirements.lock")
    for wanted in map(Requirement, PROJECT["project"]["dependencies"]):
        fitting = [pin for pin in pins[canonicalize_name(wanted.name)] if applies(pin, environment)]
        assert len(fitting) == applies(wanted, environment), wanted
        for pin in fitting:
            assert wanted.specifier.contains(str(pin.specifier).removeprefix("=="))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_address(lock: str) -> None:
    text = (ROOT / "deploy" / lock).read_text()
    assert not re.search(r"://|file:|--index|--find-links", text)
    for pin in re.split(r"\n(?=\w)", text):
        assert "--hash=sha256:" in pin
