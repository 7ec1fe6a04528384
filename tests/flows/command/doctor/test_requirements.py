from importlib import metadata

import pytest

from flows.command.doctor.requirements import check_packages, check_python, required


@pytest.mark.parametrize(
    ("version", "state"), [("3.10.9", "fail"), ("3.11.0", "ok"), ("3.12.7", "ok"), ("3.13.0", "fail")]
)
def test_versions_of_python(version: str, state: str) -> None:
    assert check_python(">=3.11,<3.13", version).state == state


def test_this_environment_fits() -> None:
    python, packages = required()
    assert check_python(python).state == "ok"
    assert check_packages(packages).state == "ok"


def version_of(name: str) -> str:
    versions = {"typer": "0.10.0", "orjson": "3.10.1"}
    if name not in versions:
        raise metadata.PackageNotFoundError(name)
    return versions[name]


def test_what_does_not_fit_is_named() -> None:
    requirements = [
        "orjson>=3.10",
        "typer>=0.29",
        "absent>=1",
        "other>=1; sys_platform == 'nowhere'",
        "mcp; extra == 'tools'",
    ]
    found = check_packages(requirements, version_of)
    assert (found.state, found.found) == ("fail", "typer is 0.10.0, required is >=0.29; absent is missing")
    assert found.remedy
    assert check_packages(requirements[:1], version_of) == ("packages", "ok", "1 fit", "")
