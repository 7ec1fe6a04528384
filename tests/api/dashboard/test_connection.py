"""Where the page looks for a hub, as the page's own script finds it."""

import pytest

from tests.fakes.node import printed

ASK = """
const { seenFromHere } = await import(process.argv[1]);
console.log(seenFromHere(process.argv[2], new URL(process.argv[3])));
"""

RESET = """
globalThis.addEventListener = () => {};
globalThis.document = { addEventListener: () => {} };
globalThis.location = new URL("http://127.0.0.1:8080/");
globalThis.localStorage = globalThis.sessionStorage = { getItem: () => null };
let socket;
globalThis.WebSocket = class {
  static OPEN = 1;
  constructor() { socket = this; }
  send() {}
};
const { Broadcast } = await import(process.argv[1]);
const heard = [];
const handler = (name) => (...given) => heard.push([name, ...given.map((one) => one.type ?? one)].join(" "));
const names = ["onMessage", "onLive", "onOpen", "onReset", "onCut", "onOrigin"];
new Broadcast({ ...Object.fromEntries(names.map((name) => [name, handler(name)])), onState: () => {} }).follow(["ws://127.0.0.1:1/ws"]);
const price = { type: "MarketData", data: { venue: "b" } };
for (const message of [
  { type: "Subscribed", data: { venue: "a", origin: "live", origins: { a: "live", b: "live" } } },
  { type: "Reset" },
  { type: "Snapshot", data: { messages: [price], complete: true } },
]) {
  socket.onmessage({ data: JSON.stringify(message) });
}
console.log(heard.join("\\n"));
process.exit(0);
"""


def test_what_a_connection_said_is_void_when_it_begins_anew() -> None:
    url = "ws://127.0.0.1:1/ws"
    assert printed(RESET, "connection.js").splitlines() == [
        "onOrigin live", f"onOpen {url} a", f"onOpen {url} b", "onLive a", "onLive b",
        f"onReset {url} a", f"onReset {url} b", "onLive a", "onLive b",
        f"onMessage MarketData b true {url}",
    ]  # fmt: skip


OTHERS = (
    RESET.replace("const names = [", 'const names = ["onRefused", ')
    .replace('{ type: "Reset" }', '{ type: "Pong", timestamp: "", seq: 4 }, { type: "Error", data: { reason: "why" } }')
    .replace("[price]", '[price, { type: "Pong" }, { type: "News", data: {} }]')
)


def test_answers_without_data_are_no_messages_of_the_market() -> None:
    url = "ws://127.0.0.1:1/ws"
    assert printed(OTHERS, "connection.js").splitlines()[5:] == ["onRefused why", f"onMessage MarketData b true {url}"]


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
