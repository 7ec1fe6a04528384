"""Whether the locks resolve for every platform, from wheels alone: `python -m tests.platforms`, `make check-platforms`.

It asks the package index about each release, which takes a minute, and without a network it says so. Nothing is
installed or run: a platform that resolves may still have its faults.
"""

import os
import subprocess
import sys
from itertools import product
from typing import Final

from uv import find_uv_bin

from tests.marked import ROOT

LOCKS: Final = ("requirements.lock", "requirements-dev.lock")
PYTHONS: Final = ("3.11", "3.12")
PLATFORMS: Final = {
    "Linux x86-64": "x86_64-manylinux_2_31",
    "Linux aarch64": "aarch64-manylinux_2_31",
    "macOS arm64": "aarch64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
}
"""Names as uv knows them; the wheels need glibc 2.31."""
MACOS: Final = "14.0"
"""The oldest macOS that the wheels are for."""


def resolve(lock: str, platform: str, python: str) -> str:
    """What keeps a lock from resolving for a platform; empty when nothing does."""
    done = subprocess.run(
        [find_uv_bin(), "pip", "compile", "--quiet", str(ROOT / "deploy" / lock), "--no-deps", "--only-binary", ":all:",
         "--python-platform", platform, "--python-version", python],
        env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": MACOS},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stderr.strip() if done.returncode else ""


def main() -> int:
    """Prints a line for each; exit code 1 when one does not resolve."""
    failed = 0
    for lock, (name, platform), python in product(LOCKS, PLATFORMS.items(), PYTHONS):
        reason = resolve(lock, platform, python)
        print(f"{lock}, {name}, Python {python}: {reason or 'resolves'}", flush=True)  # noqa: T201 - a command
        failed += bool(reason)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
