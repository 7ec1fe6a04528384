"""Messages, requests and numbers of both feeds, compared with recorded ones."""

import gzip
import io
import json
from itertools import islice
from typing import Any

import pytest
import zstandard

from sources.replay.exchange.fanout import Fanout
from sources.replay.protocol.conversation import Refused
from sources.replay.venues.coinbase.conversation import CoinbaseConversation
from sources.replay.venues.coinbase.derived import CoinbaseDerived
from sources.replay.venues.coinbase.dialect import synthetic_coinbase
from tests.fakes.played import PlayedView, play_until, played
from tests.fakes.recordings import recording
from tests.fakes.shapes import fits

BEGIN_MS = 1_767_225_600_000


def view_of(*, played_s: int = 0) -> PlayedView:
    served = synthetic_coinbase(["BTC-USD", "ETH-USD"], seed=5, start_ms=BEGIN_MS, trades_per_s=4.0)
    if played_s:
        play_until(served.market, BEGIN_MS + 1_000 * played_s)
    return PlayedView(served)


def client_of(view: PlayedView) -> CoinbaseConversation:
    assert isinstance(view.market.derived, CoinbaseDerived)
    return CoinbaseConversation(view, view.market.derived, None)


def request(**fields: Any) -> str:
    return json.dumps({"type": "subscribe", "product_ids": ["BTC-USD"], **fields})


def exchange_recorded() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with gzip.open(recording("coinbase-exchange-2026-07-07") / "live-btc-eth.ndjson.gz") as lines:
        for line in lines:
            message = json.loads(line)
            found.setdefault(message["type"], message)
    return found


def advanced_recorded() -> dict[tuple[str, str | None], Any]:
    found: dict[tuple[str, str | None], Any] = {}
    with (recording("captures-jsonl") / "COINBASE.jsonl.zst").open("rb") as file:
        for line in io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file)):
            row = json.loads(line)
            if row["t"] == "recv":
                message = json.loads(row["data"])
                found.setdefault((message["channel"], message["events"][0].get("type")), message)
    return found


def test_messages_of_the_exchange_feed_are_as_recorded() -> None:
    true, view = exchange_recorded(), view_of()
    streams = {f"BTC-USD@{channel}" for channel in ("matches", "heartbeat", "level2_batch")}
    sent: dict[str, Any] = {}
    for message in played(view.market, streams.__contains__):
        row = json.loads(message.data)
        sent.setdefault(row["type"], row)
        if {"match", "heartbeat", "l2update"} <= set(sent):
            break
    replies = client_of(view).answer(request(channels=["matches", "heartbeat", "level2_batch"]))
    sent |= {row["type"]: row for row in map(json.loads, replies)}
    assert set(sent) == set(true)
    for kind, row in sent.items():
        assert fits(row, true[kind]), kind
    assert [row["name"] for row in sent["subscriptions"]["channels"]] == ["matches", "heartbeat", "level2_50"]
    assert sent["heartbeat"]["time"].endswith(".000000Z")


def test_messages_of_the_advanced_feed_are_as_recorded() -> None:
    true, view = advanced_recorded(), view_of(played_s=3)
    client = client_of(view)
    channels = ("level2", "market_trades", "heartbeats")
    begun = [json.loads(reply) for name in channels for reply in client.answer(request(channel=name))]
    # A snapshot comes before the acknowledgement, and everything is numbered.
    assert [row["channel"][:4] for row in begun] == ["l2_d", "subs", "mark", "subs", "subs"]
    assert [row["sequence_num"] for row in begun] == [0, 1, 2, 3, 4]
    assert begun[-1]["events"][0]["subscriptions"]["heartbeats"] == ["heartbeats"]
    seen = {(row["channel"], row["events"][0].get("type")): row for row in begun}
    for message in played(view.market, client.delivered.__contains__):
        frame = client.encoding.frame(message)
        row = json.loads(frame[frame.index(b'{"') :])  # its length may be a brace too
        seen.setdefault((row["channel"], row["events"][0].get("type")), row)
        if {("l2_data", "update"), ("market_trades", "update"), ("heartbeats", None)} <= set(seen):
            break
    for kind, row in seen.items():
        if kind[0] != "subscriptions":
            assert fits(row, true[kind]), kind
    newest = [int(row["trade_id"]) for row in seen["market_trades", "snapshot"]["events"][0]["trades"]]
    assert newest == sorted(newest, reverse=True)


def test_heartbeats_name_the_last_trade_and_ids_have_no_hole() -> None:
    ids: list[int] = []
    beats = 0
    for message in islice(played(view_of().market, {"BTC-USD@matches", "BTC-USD@heartbeat"}.__contains__), 200):
        row = json.loads(message.data)
        if row["type"] == "match":
            ids.append(row["trade_id"])
        else:
            beats += 1
            assert row["last_trade_id"] == ids[-1]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert beats > 5


def test_a_message_that_is_lost_leaves_a_hole_in_the_numbers_of_its_connection_alone() -> None:
    class Ear:
        def __init__(self, client: CoinbaseConversation) -> None:
            self.encoding, self.delivered = client.encoding, client.delivered
            self.numbers: list[int] = []

        def take(self, frame: bytes) -> None:
            self.numbers.append(json.loads(frame[frame.index(b'{"') :])["sequence_num"])

        def flush(self) -> None: ...

    view, fanout = view_of(), Fanout()
    ears = []
    for channel in ("level2", "heartbeats"):
        client = client_of(view)
        client.answer(request(channel=channel))
        ears.append(Ear(client))
        fanout.subscribe(ears[-1])
    messages = fanout.numbered(list(islice(played(view.market, fanout.wants), 30)))
    books = [message for message in messages if message.stream == "BTC-USD@level2"]
    fanout.deliver([message for message in messages if message is not books[3]])
    begins = ears[0].numbers[0]
    assert ears[0].numbers == [begins + number for number in range(len(books)) if number != 3]
    assert ears[1].numbers == list(range(ears[1].numbers[0], ears[1].numbers[0] + len(ears[1].numbers)))


@pytest.mark.parametrize("before", [0, 10])
def test_a_book_of_the_advanced_feed_is_the_snapshot_and_its_updates(before: int) -> None:
    """Also for who has subscribed before there was a book."""
    view = view_of()
    client = client_of(view)
    messages = played(view.market, lambda stream: stream in client.delivered or stream == "ETH-USD@matches")
    list(islice(messages, before))
    *beginnings, _ = client.answer(request(channel="level2"))
    assert len(beginnings) == (before > 0)
    events = [json.loads(frame)["events"][0] for frame in beginnings]
    sides: dict[str, dict[str, str]] = {"bid": {}, "offer": {}}
    while len(events) < 50:
        message = next(messages)
        events += [json.loads(message.data)["events"][0]] if message.stream == "BTC-USD@level2" else []
    assert [event["type"] for event in events] == ["snapshot"] + 49 * ["update"]
    for event in events:
        for level in event["updates"]:
            if level["new_quantity"] == "0":
                sides[level["side"]].pop(level["price_level"], None)
            else:
                sides[level["side"]][level["price_level"]] = level["new_quantity"]
    book = view.market.depth("BTC-USD", 10_000)
    assert book is not None
    assert {float(p): float(q) for p, q in sides["bid"].items()} == {float(p): float(q) for p, q in book["bids"]}
    assert {float(p): float(q) for p, q in sides["offer"].items()} == {float(p): float(q) for p, q in book["asks"]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (request(channels=["full"]), "level2, level3, and full channels now require authentication."),
        (request(channels=["matches"], product_ids=["NO-USD"]), "NO-USD is not a valid product"),
        (request(channels=["trades"]), "trades is not a valid channel"),
        (request(channels=7), "no channels were specified"),
        ('{"type":"fly"}', None),
        ("[" * 100_000, None),
        (b"\xff", None),
    ],
)
def test_a_request_that_is_refused_says_why(text: str | bytes, reason: str | None) -> None:
    client = client_of(view_of())
    (reply,) = map(json.loads, client.answer(text))
    assert (reply["type"], reply.get("reason")) == ("error", reason)
    assert client.delivered == frozenset()


def test_subscriptions_end_and_ordered_refusals_hold() -> None:
    client = client_of(view_of())
    text = request(channels=["heartbeat", {"name": "matches", "product_ids": ["ETH-USD"]}])
    assert client.requested(text) == ["BTC-USD@heartbeat", "ETH-USD@matches"]
    order = Refused(frozenset(["ETH-USD@matches"]), "wrapped", 2, "")
    assert json.loads(client.refuse(text, order)[0])["reason"] == "ETH-USD is not a valid product"
    silent = json.loads(client.refuse(text, order._replace(form="silent"))[0])
    assert [row["name"] for row in silent["channels"]] == ["heartbeat", "matches"]
    assert client.delivered == {"BTC-USD@heartbeat"}
    ending = json.dumps({"type": "unsubscribe", "channels": ["heartbeat"], "product_ids": ["BTC-USD"]})
    (left,) = map(json.loads, client.answer(ending))
    assert left == {"type": "subscriptions", "channels": []}
    assert client.delivered == frozenset()
