"""Where the page looks for a hub, as the page's own script finds it."""

import pytest

from tests.fakes.node import printed

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
    assert printed(ASK, "connection.js", hub, page) == found
