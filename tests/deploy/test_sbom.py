"""The bill of materials: it lists what is installed, by the lock, in the form that CycloneDX prescribes."""

import json
from importlib.metadata import Distribution, PathDistribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from deploy import sbom

A, B, C, D = (letter * 64 for letter in "abcd")
LOCK = f"""\
typing-extensions==4.16.0 \\
    --hash=sha256:{A} \\
    --hash=sha256:{B}
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:{C}
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:{D}
"""
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u14
Description: GNU C Library
 Long text.

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def installed(folder: Path, name: str, version: str, *more: str) -> Distribution:
    """A package as an installer leaves it."""
    made = folder / f"{name}-{version}.dist-info"
    made.mkdir()
    (made / "METADATA").write_text(
        "\n".join((f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}", *more, "", ""))
    )
    return PathDistribution(made)


@pytest.fixture
def environment(tmp_path: Path) -> list[Distribution]:
    return [
        installed(tmp_path, "typing_extensions", "4.16.0", "License-Expression: PSF-2.0"),
        installed(tmp_path, "numpy", "2.4.6", "Classifier: License :: OSI Approved :: BSD License"),
        installed(tmp_path, "marketflow-data", "0.1.0"),
    ]


def faults(document: Any) -> list[str]:
    """What CycloneDX's own schema says against it."""
    folder = files("cyclonedx.schema._res")
    names = ("bom-1.6.SNAPSHOT.schema.json", "spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    schemas = {name: json.loads(folder.joinpath(name).read_text()) for name in names}
    resources = {name: Resource.from_contents(one) for name, one in schemas.items()}
    schema = schemas[names[0]]
    base = schema["$id"].rpartition("/")[0]
    registry: Any = Registry().with_resources(
        [*resources.items(), *((f"{base}/{name}", one) for name, one in resources.items())]
    )
    validator = Draft7Validator(schema, registry=registry)
    return [error.message for error in validator.iter_errors(document)]


def test_it_lists_every_package_with_the_hashes_of_its_lock(environment: list[Distribution]) -> None:
    document = sbom.bill(environment, LOCK, status=STATUS)
    parts = {part["purl"]: part for part in document["components"]}
    assert parts.keys() == {
        "pkg:pypi/typing-extensions@4.16.0", "pkg:pypi/numpy@2.4.6",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64",
    }  # fmt: skip
    assert parts["pkg:pypi/typing-extensions@4.16.0"]["licenses"] == [{"expression": "PSF-2.0"}]
    assert parts["pkg:pypi/numpy@2.4.6"]["licenses"] == [{"license": {"name": "BSD License"}}]
    digests = [one["value"] for one in parts["pkg:pypi/numpy@2.4.6"]["properties"]]
    assert digests == [C]
    assert document["metadata"]["component"]["version"] == "0.1.0"


def test_it_is_what_cyclonedx_prescribes(environment: list[Distribution]) -> None:
    document = sbom.bill(environment, LOCK, status=STATUS)
    assert faults(document) == []
    assert faults({**document, "components": [{"type": "nonsense"}]})


def test_the_same_parts_have_the_same_number(environment: list[Distribution]) -> None:
    first, again = (sbom.bill(environment, LOCK)["serialNumber"] for _ in range(2))
    assert first == again != sbom.bill(environment[1:], LOCK)["serialNumber"]


@pytest.mark.parametrize(("name", "version"), [("numpy", "2.4.5"), ("unknown", "1")])
def test_what_the_lock_does_not_pin_is_refused(
    environment: list[Distribution], tmp_path: Path, name: str, version: str
) -> None:
    (tmp_path / "more").mkdir()
    other = installed(tmp_path / "more", name, version)
    with pytest.raises(sbom.DifferenceError, match=f"{name} {version} is installed, but the lock pins"):
        sbom.bill([*environment, other], LOCK)


def test_the_command_says_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    installed(tmp_path, "unknown", "1")
    (tmp_path / "lock").write_text(LOCK)
    assert sbom.main(str(tmp_path / "lock"), str(tmp_path)) == 1
    assert "unknown 1 is installed, but the lock pins none" in capsys.readouterr().err
