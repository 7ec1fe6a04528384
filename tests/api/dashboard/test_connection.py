"""Where the page looks for a hub, what a connection says of it, and what of that is in a batch."""

import json

import pytest

from tests.fakes.node import printed

ASK = """
const { seenFromHere } = await import(process.argv[1]);
console.log(seenFromHere(process.argv[2], new URL(process.argv[3])));
"""

RESET = """
let socket;
globalThis.WebSocket = class {
  static OPEN = 1;
  constructor() { socket = this; }
  send() {}
};
const { Line } = await import(process.argv[1]);
const heard = [];
const handler = (name) => (...given) => heard.push([name, ...given.map((one) => one.type ?? one)].join(" "));
const names = ["onMessage", "onLive", "onOpen", "onReset", "onCut", "onOrigin"];
const handlers = Object.fromEntries(names.map((name) => [name, handler(name)]));
new Line("ws://127.0.0.1:1/ws", { ...handlers, onState: () => {} });
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
    assert printed(RESET, "broadcast/line.js").splitlines() == [
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
    assert printed(OTHERS, "broadcast/line.js").splitlines()[5:] == [
        "onRefused why",
        f"onMessage MarketData b true {url}",
    ]


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
    assert printed(ASK, "broadcast/place.js", hub, page) == found


BATCHES = """
const { Batch } = await import(process.argv[1]);
const batch = new Batch();
const taken = [];
for (const [name, ...given] of JSON.parse(process.argv[2])) {
  if (name === "take") taken.push(batch.take());
  else if (name === "message") batch.addMessage(...given);
  else batch.add(name, ...given);
}
console.log(JSON.stringify(taken));
"""


def batches(*steps: tuple[object, ...]) -> list[list[list[object]]]:
    """What is taken each time."""
    found: list[list[list[object]]] = json.loads(printed(BATCHES, "broadcast/batch.js", json.dumps(steps)))
    return found


def said(kind: str, symbol: str = "X", **data: object) -> tuple[str, dict[str, object], str, str]:
    """A message of a hub."""
    return (
        "message",
        {"type": kind, "data": {"symbol": symbol, **data}, "timestamp": "t", "seq": 1},
        "binance",
        "ws://a",
    )


def test_a_batch_has_the_newest_of_each_in_the_order_of_the_hub_and_all_trades() -> None:
    closed = {"timestamp": 1, "is_closed": True}
    [first, nothing] = batches(
        said("MarketData", price=1),
        said("MarketData", "Y", price=2),
        said("Trade", trades=[{"id": 1}]),
        said("Status", state="live"),
        said("MarketData", price=3),
        said("Trade", trades=[{"id": 2}, {"id": 3}]),
        said("Candle", timeframe="1m", candle={"timestamp": 1, "is_closed": False, "close": 1}),
        said("Candle", timeframe="1m", candle=closed),
        said("Candle", timeframe="1m", candle={"timestamp": 2, "is_closed": False, "close": 1}),
        said("Candle", timeframe="1m", candle={"timestamp": 2, "is_closed": False, "close": 2}),
        said("Status", state="quiet"),
        ("take",),
        ("take",),
    )
    assert nothing == []
    shown: list[object] = []
    for name, message, venue, url in first:
        assert (name, venue, url) == ("onMessage", "binance", "ws://a")
        assert isinstance(message, dict)
        data = message["data"]
        shown.append(
            (
                message["type"],
                data["symbol"],
                *(value for key, value in data.items() if key not in ("symbol", "timeframe")),
            )
        )
    assert shown == [
        ("MarketData", "Y", 2),
        ("Trade", "X", [{"id": 1}, {"id": 2}, {"id": 3}]),
        ("Status", "X", "live"),
        ("MarketData", "X", 3),
        ("Candle", "X", {"timestamp": 1, "is_closed": False, "close": 1}),
        ("Candle", "X", closed),
        ("Candle", "X", {"timestamp": 2, "is_closed": False, "close": 2}),
        ("Status", "X", "quiet"),
    ]


def test_of_the_heartbeats_of_each_venue_a_page_that_is_halted_is_owed_the_newest() -> None:
    def beat(venue: str, time: str) -> tuple[object, ...]:
        return (
            "message",
            {"type": "Status", "data": {"state": "alive", "venue": venue, "time": time}},
            venue,
            "ws://a",
        )

    steps = [beat(venue, f"{second}") for second in range(600) for venue in ("a", "b")]
    [found] = batches(steps[0], said("Status", state="silent"), *steps[1:], ("take",))
    kept = [(one[2], message["data"].get("time")) for one in found if isinstance(message := one[1], dict)]
    assert kept == [("binance", None), ("a", "599"), ("b", "599")]


def test_of_books_that_waited_each_second_of_the_last_hour_has_its_newest() -> None:
    times = [second * 1_000 + ms for second in range(0, 6_000, 20) for ms in (0, 9)]
    steps = [said("OrderBook", update_id=time, timestamp=time) for time in times]
    [found] = batches(*steps, ("take",))
    kept = [message["data"]["update_id"] for one in found if isinstance(message := one[1], dict)]
    assert kept == list(range(2_400_009, 6_000_000, 20_000))


def test_nothing_replaces_what_was_said_before_the_hub_began_anew() -> None:
    [found] = batches(
        said("OrderBook", update_id=1), said("Trade", trades=[{"id": 1}]), ("onReset", "ws://a", "binance"),
        said("OrderBook", update_id=2), said("Trade", trades=[{"id": 2}]), ("take",),
    )  # fmt: skip
    kinds = [one[1]["type"] if isinstance(one[1], dict) else one[0] for one in found]
    assert kinds == ["OrderBook", "Trade", "onReset", "OrderBook", "Trade"]


def test_a_page_that_is_halted_is_not_owed_more_trades_than_it_keeps() -> None:
    steps = [said("Trade", trades=[{"id": number * 100 + one} for one in range(100)]) for number in range(30)]
    [[[_, message, *_]]] = batches(*steps, ("take",))
    assert isinstance(message, dict)
    assert [trade["id"] for trade in message["data"]["trades"]] == list(range(1_000, 3_000))
