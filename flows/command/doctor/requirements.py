"""The versions of Python and of the packages, against what the project requires."""

import sys
from collections.abc import Callable, Iterable
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from flows.command.doctor.result import Result
from flows.process.version import DISTRIBUTION, in_checkout


def check_python(required: str, version: str = "") -> Result:
    """Whether this Python fits; `required` as in `>=3.11,<3.13`, `version` is that of this process."""
    version = version or ".".join(map(str, sys.version_info[:3]))
    if SpecifierSet(required).contains(version):
        return Result("python", "ok", version)
    return Result(
        "python", "fail", f"{version}, required is {required}", "use another Python: make PYTHON=python3.12 run"
    )


def check_packages(requirements: Iterable[str], version_of: Callable[[str], str] = metadata.version) -> Result:
    """Whether every required package is there, in a version that fits."""
    wrong: list[str] = []
    count = 0
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = version_of(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version}, required is {requirement.specifier}")
    if wrong:
        remedy = "install them anew: rm -r .venv and make, or pip install --upgrade marketflow-data"
        return Result("packages", "fail", "; ".join(wrong), remedy)
    return Result("packages", "ok", f"{count} fit")


def required() -> tuple[str, list[str]]:
    """The required Python and packages, of the checkout or else of the installed package. `PackageNotFoundError`
    without either.
    """
    if project := in_checkout():
        return str(project["requires-python"]), list(project["dependencies"])
    found = metadata.distribution(DISTRIBUTION)
    return str(found.metadata["Requires-Python"]), list(found.requires or ())
