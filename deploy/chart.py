# ruff: noqa: INP001, T201 - a script, and no package: the Makefile starts it by its path
"""Fetches the page's chart library from npm's registry, without npm.

    python deploy/chart.py [--within SECONDS] [--lock PACKAGE_LOCK] [--to FILE]

Version and digest stand in `package-lock.json`; what has another digest is not used. The registry is npm's own setting:
`npm_config_registry`, `registry` in the user's `.npmrc`, or what an installed npm says. It ends within the given time,
whatever the network does: exit code 0 with the file in its place, 1 without it, after a line that says why.
"""

import argparse
import base64
import hashlib
import io
import json
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import certifi
import httpx

DASHBOARD = Path(__file__).resolve().parents[1] / "api" / "dashboard"
PACKAGE = "lightweight-charts"
FILE = f"{PACKAGE}.standalone.production.mjs"
BOUND_S = 15.0
MOST_BYTES = 20_000_000
"""No release comes near; a larger answer is no package."""


class ChartError(Exception):
    """The library cannot be had; the text has the reason."""


class Wanted(NamedTuple):
    """The release that the lock names."""

    version: str
    integrity: str
    """Digests as npm writes them: `sha512-<base64>`, separated by spaces."""


def wanted(lock: Path) -> Wanted:
    """Reads npm's lock."""
    entry = json.loads(lock.read_text())["packages"][f"node_modules/{PACKAGE}"]
    return Wanted(entry["version"], entry["integrity"])


def npm_settings(environment: dict[str, str], home: Path) -> dict[str, str]:
    """`registry` and `cafile` as npm reads them: the environment before the user's file."""
    told = {key.lower(): value for key, value in environment.items() if key.lower().startswith("npm_config_")}
    file = Path(told.get("npm_config_userconfig", home / ".npmrc"))
    lines = file.read_text().splitlines() if file.is_file() else []
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith(("#", ";")))
    settings = {key.strip(): os.path.expandvars(value.strip().strip("\"'")) for key, _, value in pairs}
    settings |= {key.removeprefix("npm_config_"): value for key, value in told.items()}
    return {key: settings[key] for key in ("registry", "cafile") if settings.get(key)}


def registry_of(settings: dict[str, str]) -> str:
    """The registry's address. `ChartError` where nothing names one."""
    if "registry" in settings:
        return settings["registry"].rstrip("/")
    if npm := shutil.which("npm"):
        done = subprocess.run([npm, "config", "get", "registry"], capture_output=True, text=True, check=False)  # noqa: S603
        if (said := done.stdout.strip()).startswith("http"):
            return said.rstrip("/")
    raise ChartError("no registry is known: set npm_config_registry to its address")


def fetch(release: Wanted, settings: dict[str, str]) -> bytes:
    """The package as the registry gives it, with the wanted digest. `ChartError` otherwise."""
    url = f"{registry_of(settings)}/{PACKAGE}/-/{PACKAGE}-{release.version}.tgz"
    trusted = ssl.create_default_context()
    trusted.load_verify_locations(certifi.where())
    if "cafile" in settings:
        trusted.load_verify_locations(settings["cafile"])
    received = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, verify=trusted, timeout=BOUND_S) as response:
            response.raise_for_status()
            for part in response.iter_bytes():
                received += part
                if len(received) > MOST_BYTES:
                    raise ChartError("the registry sends too much")
    except httpx.HTTPStatusError as error:
        raise ChartError(f"the registry answers {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ChartError(f"the registry cannot be reached: {error or type(error).__name__}") from error
    if not is_intact(bytes(received), release.integrity):
        raise ChartError("what the registry sent has another digest than package-lock.json names")
    return bytes(received)


def is_intact(data: bytes, integrity: str) -> bool:
    """Whether the SHA-512 that npm's lock names is that of the data."""
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    return f"sha512-{digest}" in integrity.split()


def put(package: bytes, to: Path) -> None:
    """Takes the library out of the package; the file appears as a whole."""
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        found = archive.extractfile(f"package/dist/{FILE}")
        if found is None:
            raise ChartError(f"the package has no {FILE}")
        data = found.read()
    to.parent.mkdir(parents=True, exist_ok=True)
    new = to.with_suffix(".new")
    new.write_bytes(data)
    new.replace(to)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Fetches the page's chart library.")
    parser.add_argument("--within", type=float, default=BOUND_S, metavar="SECONDS")
    parser.add_argument("--lock", type=Path, default=DASHBOARD / "package-lock.json")
    parser.add_argument("--to", type=Path, default=DASHBOARD / "vendor" / FILE)
    options = parser.parse_args(arguments)
    print(f"asking npm for the page's chart library, at most {options.within:g} s …", flush=True)
    packages: list[bytes] = []
    failures: list[str] = []

    def ask() -> None:
        try:
            packages.append(fetch(wanted(options.lock), npm_settings(dict(os.environ), Path.home())))
        except (ChartError, OSError) as error:
            failures.append(str(error))

    # a thread, as neither a name that is looked up nor an answer that trickles can be ended otherwise
    asking = threading.Thread(target=ask, daemon=True)
    begin = time.monotonic()
    asking.start()
    asking.join(options.within)
    try:
        if packages:
            put(packages[0], options.to)
            print(f"… it came in {time.monotonic() - begin:.1f} s", flush=True)
            return 0
    except (ChartError, OSError, KeyError, tarfile.TarError) as error:
        failures.append(str(error))
    reason = failures[0] if failures else "no answer in that time"
    print(f"… {reason}; the page does without: make dashboard tries again", flush=True)
    return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # without waiting for the thread
