"""Trades by a second connection, of the Advanced feed: what is subscribed, what its messages become, and that one feed
makes good what the other has lost.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from flows.model import Disconnected, Gap, Incident, RawFrames, StreamNames, Subscribed, Trade
from flows.settings import Feed
from sources.coinbase import wire
from sources.coinbase.feed import CoinbaseFeed
from sources.coinbase.parse import CoinbaseParser, Parsed
from sources.feed import IN_ORDER, Ack, SecondLine
from sources.replay.faults.orders import Drop, Refuse
from sources.replay.faults.orders import Gap as Lost
from tests.fakes.coinbase import advanced_frames, documented
from tests.fakes.mutations import mutated
from tests.fakes.parsed import runs_of
from tests.fakes.venue_line import VenueLine, venue_line

MATCH = documented(wire.MatchMessage)
TRADES = documented(wire.TradesMessage)
BTC, ETH = "BTC-USD", "ETH-USD"
STREAMS = StreamNames(frozenset((f"{BTC}@trade", f"{ETH}@trade")))
FRAMES = 1_000


def parse(*frames: bytes) -> Parsed:
    return CoinbaseParser("coinbase").parse(RawFrames("market", list(frames), 7, STREAMS))


def trades_in(parsed: Parsed) -> list[Any]:
    return [event for _, run in runs_of(parsed) for event in run]


def recorded() -> list[bytes]:
    return [frame for frame in advanced_frames() if frame.startswith(b'{"channel":"market_trades"')]


# --- what is subscribed ---


def second_of(streams: tuple[str, ...], **settings: Any) -> SecondLine | None:
    [plan] = CoinbaseFeed(Feed.model_validate({"venue": "coinbase"} | settings)).plans({BTC: streams, ETH: streams})
    return plan.second


def test_the_second_connection_carries_the_trades_of_the_first() -> None:
    second = second_of(("trade", "ticker"))
    assert second is not None
    plan = second.plan
    assert (plan.line, plan.url) == ("market", "wss://advanced-trade-ws.coinbase.com")
    assert plan.names == {f"{BTC}@trade": (BTC, "trade"), f"{ETH}@trade": (ETH, "trade")}
    assert (plan.number, plan.heartbeat) == (b"", "heartbeats")
    bodies = [json.loads(text) for _, text in second.feed.subscribe_requests(plan.streams)]
    assert bodies == [
        {"type": "subscribe", "channel": "market_trades", "product_ids": [BTC, ETH]},
        {"type": "subscribe", "channel": "heartbeats"},
    ]
    [(_, text)] = second.feed.unsubscribe_requests((f"{ETH}@trade",))
    assert json.loads(text) == {"type": "unsubscribe", "channel": "market_trades", "product_ids": [ETH]}
    assert second.feed.channel_of(TRADES) == f"{BTC}@trade"
    assert second.feed.channel_of(b'{"channel":"heartbeats","sequence_num":1}') == "heartbeats"
    assert second.feed.control_of(b'{"channel":"subscriptions","events":[]}') == Ack(IN_ORDER)


def test_books_and_an_origin_without_an_advanced_feed_have_no_second_one() -> None:
    assert second_of(("depth",)) is None
    assert second_of(("trade",), origin="testnet") is None


# --- what its messages become ---


def test_a_trade_of_either_feed_is_the_same() -> None:
    parsed = parse(MATCH, TRADES)
    assert [symbol for symbol, _ in parsed.events] == [BTC]
    first, second = trades_in(parsed)
    assert first == second == Trade(BTC, 1052000002, 1767225601164, 93120.49, 0.2, True, 1767225601164)
    assert (parsed.rejected, parsed.ignored) == ([], 0)


def test_recorded_trades_are_given_in_the_order_of_their_ids() -> None:
    frames = recorded()
    rows: dict[str, list[dict[str, Any]]] = {BTC: [], ETH: []}
    for event in (event for frame in frames for event in json.loads(frame)["events"] if event["type"] == "update"):
        for row in event["trades"]:
            rows[row["product_id"]].append(row)
    parsed = parse(*frames)
    assert (parsed.rejected, parsed.ignored) == ([], 2)  # the snapshots
    for symbol, expected in rows.items():
        ids = [int(row["trade_id"]) for row in expected]
        assert ids != sorted(ids), "as the venue sends them"
        run = [trade for trade in trades_in(parsed) if trade.symbol == symbol]
        assert [trade.id for trade in run] == list(range(min(ids), max(ids) + 1))
        by_id = {int(row["trade_id"]): row for row in expected}
        assert [(trade.price, trade.quantity, trade.buyer_is_maker) for trade in run] == [
            (float(row["price"]), float(row["size"]), row["side"] == "BUY") for _, row in sorted(by_id.items())
        ]


@pytest.mark.parametrize(
    "change",
    [
        {"trade_id": "-1"},
        {"trade_id": "x"},
        {"price": "0"},
        {"price": "NaN"},
        {"size": "0"},
        {"side": "buy"},
        {"time": "x"},
    ],
)
def test_an_impossible_trade_is_refused_with_its_message_alone(change: dict[str, Any]) -> None:
    body = json.loads(TRADES)
    body["events"][0]["trades"][0] |= change
    wrong = json.dumps(body, separators=(",", ":")).encode()
    parsed = parse(MATCH, wrong, TRADES)
    assert len(trades_in(parsed)) == 2
    [rejected] = parsed.rejected
    assert (rejected.symbol, rejected.kind) == (BTC, "trade")


def test_no_changed_frame_raises() -> None:
    frames = [TRADES, *(frame for frame in recorded() if len(frame) < 20_000)]
    parser, rejected = CoinbaseParser("coinbase"), 0
    for seed in range(FRAMES):
        frame = mutated(frames[seed % len(frames)], seed, others=frames[:50]).frame
        parsed = parser.parse(RawFrames("market", [MATCH, frame], 0, STREAMS))
        assert trades_in(parsed)[0].id == 1052000002 or parsed.rejected
        rejected += len(parsed.rejected)
    assert rejected > FRAMES // 10


# --- both feeds together ---


@contextmanager
def doubled() -> Iterator[VenueLine]:
    """Trades of one product by both feeds; the market goes on."""
    with venue_line("coinbase", redundancy=2, streams=("aggTrade",)) as line:
        line.follow(BTC)
        line.until(lambda: bool(line.events_of(Subscribed)))
        line.exchange.resume()
        line.until(lambda: len(line.sequenced(BTC)) > 10)
        line.until(lambda: repeated(line) > 10)  # both bring them
        yield line


def repeated(line: VenueLine) -> int:
    """Trades that came twice."""
    streamed = [trade.id for trade in line.streamed[BTC]]
    return len(streamed) - len(set(streamed))


def assert_each_is_there_once(line: VenueLine, *, more: int = 20) -> None:
    """Also those that follow."""
    newest = line.sequenced(BTC)[-1].id
    line.until(lambda: line.sequenced(BTC)[-1].id >= newest + more)
    ids = [trade.id for trade in line.sequenced(BTC)]
    assert ids == list(range(ids[0], ids[-1] + 1))
    assert line.of_symbol(BTC, Gap) == []


def test_what_one_feed_loses_the_other_brings_and_nothing_is_fetched() -> None:
    with doubled() as line:
        line.exchange.inject(Refuse(status=503, path=f"/products/{BTC}/trades", count=1_000))
        since = len(line.of_symbol(BTC, Incident))
        for stream in ("matches", "market_trades"):
            line.exchange.inject(Lost(stream=f"{BTC}@{stream}", count=8))
            assert_each_is_there_once(line)
        assert line.of_symbol(BTC, Incident)[since:] == []
        assert line.rejected == []


def test_a_lost_connection_of_either_feed_is_no_loss_of_the_line() -> None:
    with doubled() as line:
        for client in clients(line):
            line.exchange.inject(Drop(client=client))
            assert_each_is_there_once(line)
        assert line.events_of(Disconnected) == []
        assert line.of_symbol(BTC, Incident) == []


def clients(line: VenueLine) -> list[int]:
    """The connections, as the exchange numbers them."""
    return [one["id"] for one in httpx.get(f"{line.exchange.rest_url}/control/state").json()["clients"]]
