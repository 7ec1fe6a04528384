# ruff: noqa: INP001 - a script, and no package: the build of the image starts it by its path
"""Writes the bill of materials of an environment as CycloneDX 1.6 in JSON: `python sbom.py LOCK SITE_PACKAGES > FILE`.

What is installed must be what the lock pins: another version, or a package that no line of it names, ends it with exit
code 1 and says which. Packages of the system are listed where dpkg has them. Only the standard library is used, so that
any interpreter can run it, during a build too.
"""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from email.parser import Parser
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

OWN: Final = "marketflow-data"
DPKG: Final = Path("/var/lib/dpkg/status")
OS_RELEASE: Final = Path("/etc/os-release")
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class DifferenceError(Exception):
    """What is installed is not what the lock pins; the text names it."""


def normalised(name: str) -> str:
    """The name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> dict[str, dict[str, list[str]]]:
    """SHA-256 of the files of each pinned package, by name and version."""
    found: dict[str, dict[str, list[str]]] = {}
    for block in re.split(r"\n(?=\S)", lock):
        if match := _PIN.match(block):
            found.setdefault(normalised(match[1]), {})[match[2]] = _HASH.findall(block)
    return found


def python_components(installed: list[Distribution], lock: str) -> Iterator[dict[str, Any]]:
    """The installed packages but our own. `DifferenceError` when one is not pinned, or in another version."""
    pinned = pins(lock)
    for each in sorted(installed, key=lambda one: normalised(one.metadata["Name"])):
        name = normalised(each.metadata["Name"])
        if name == OWN:
            continue
        if each.version not in pinned.get(name, {}):
            raise DifferenceError(
                f"{name} {each.version} is installed, but the lock pins {', '.join(pinned.get(name, ())) or 'none'}"
            )
        yield {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{each.version}",
            "name": name,
            "version": each.version,
            "purl": f"pkg:pypi/{name}@{quote(each.version)}",
            **_licence(each),
            # of all files of this version, of which the installer has taken one
            "properties": [
                {"name": "marketflow:lock:sha256", "value": digest} for digest in pinned[name][each.version]
            ],
        }


def _licence(each: Distribution) -> dict[str, Any]:
    if expression := each.metadata["License-Expression"]:
        return {"licenses": [{"expression": expression}]}
    text = (each.metadata["License"] or "").strip().splitlines()
    classes = [
        one.rpartition(" :: ")[2] for one in each.metadata.get_all("Classifier") or () if one.startswith("License ::")
    ]
    named = classes or [line for line in text[:1] if line]
    return {"licenses": [{"license": {"name": name}} for name in named]} if named else {}


def system_components(status: str, distribution: str) -> Iterator[dict[str, Any]]:
    """The packages in dpkg's own list."""
    for block in status.split("\n\n"):
        fields = Parser().parsestr(block.lstrip("\n"), headersonly=True)
        if fields["Status"] and fields["Status"].endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            purl = f"pkg:deb/{distribution}/{quote(name)}@{quote(version)}?arch={fields['Architecture']}"
            yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def bill(installed: list[Distribution], lock: str, *, status: str = "", distribution: str = "debian") -> dict[str, Any]:
    """The whole document. `DifferenceError` as above."""
    own = next((one for one in installed if normalised(one.metadata["Name"]) == OWN), None)
    components = [*python_components(installed, lock), *system_components(status, distribution)]
    version = own.version if own else "0"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # the same parts give the same number
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, ' '.join(sorted(one['bom-ref'] for one in components)))}",
        "version": 1,
        "metadata": {
            "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "component": {
                "type": "application",
                "bom-ref": OWN,
                "name": OWN,
                "version": version,
                "purl": f"pkg:pypi/{OWN}@{version}",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
        "dependencies": [{"ref": OWN, "dependsOn": [one["bom-ref"] for one in components]}],
    }


def _distribution() -> str:
    lines = OS_RELEASE.read_text().splitlines() if OS_RELEASE.exists() else []
    return next((line.partition("=")[2].strip('"') for line in lines if line.startswith("ID=")), "debian")


def main(lock: str, site_packages: str) -> int:
    """Writes the document to standard output; the exit code."""
    installed = list(distributions(path=[site_packages]))
    status = DPKG.read_text(errors="replace") if DPKG.exists() else ""
    try:
        found = bill(installed, Path(lock).read_text(), status=status, distribution=_distribution())
    except DifferenceError as error:
        sys.stderr.write(f"sbom: {error}\n")
        return 1
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
