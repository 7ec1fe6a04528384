"""Messages of derivatives: real ones as others have published them, documented ones, and mutations."""

import inspect
import json
import re
from typing import Any

import pytest
from msgspec import structs

from flows.bounds import fault_of
from flows.model import ContractReport, LiquidationReport, MarkReport, RawFrames, StreamNames
from sources.binance import usdm_wire
from sources.binance.parse import BinanceParser
from sources.binance.parsed import Parsed
from tests.fakes.mutations import mutated

MARK_STREAM, FORCE_STREAM = "btcusdt@markPrice@1s", "btcusdt@forceOrder"
REAL_MARK = (
    b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1790526539000,"s":"BTCUSDT",'
    b'"p":"84551.10762319","ap":"84551.10762319","P":"84559.09090930","i":"84590.87304348","r":"0.00000801",'
    b'"T":1790553600000,"st":1}}'
)
"""As of a live session of 2026: with `ap`, which the documentation of that time does not have."""
REAL_FORCE_ORDER = (
    b'{"stream":"ilvusdt@forceOrder","data":{"e":"forceOrder","E":1791454000150,"o":{"s":"ILVUSDT","S":"SELL",'
    b'"o":"LIMIT","f":"IOC","q":"116.5","p":"3.80300","ap":"3.85642","X":"FILLED","l":"25.2","z":"116.5",'
    b'"T":1791454000148,"ps":"ILVUSDT","st":1}}}'
)
"""The form of a live session of 2026: `ps` and `st` lie in the order."""
MARK = MarkReport("BTCUSDT", 1790526539000, 84551.10762319, 84590.87304348, 84559.0909093, 8.01e-06, 1790553600000)


def parse(*payloads: bytes, streams: StreamNames | None = None, venue: str = "binance-usdm") -> Parsed:
    return BinanceParser(venue).parse(RawFrames("market", list(payloads), 7, streams))


def names(*streams: str) -> StreamNames:
    return StreamNames(frozenset(streams))


def wrapped(stream: str, body: dict[str, Any]) -> bytes:
    return json.dumps({"stream": stream, "data": body}, separators=(",", ":")).encode()


def documented(message: type) -> dict[str, Any]:
    text = re.search(r"\{.*\}", inspect.getdoc(message) or "", re.DOTALL)
    assert text
    body: dict[str, Any] = json.loads(text[0])
    return body


def test_a_real_mark_price() -> None:
    parsed = parse(REAL_MARK, streams=names(MARK_STREAM))
    assert parsed == Parsed([("BTCUSDT", [MARK])], [], 0)


def test_a_real_liquidation() -> None:
    parsed = parse(REAL_FORCE_ORDER, streams=names("ilvusdt@forceOrder"))
    order = LiquidationReport("ILVUSDT", 1791454000150, 1791454000148, "SELL", 3.803, 3.85642, 116.5, 116.5)
    assert parsed == Parsed([("ILVUSDT", [order])], [], 0)


def test_a_contract_with_a_delivery_date_has_no_funding() -> None:
    body = documented(usdm_wire.MarkPriceMessage) | {"r": "", "T": 0}
    [(_, [mark])] = parse(wrapped(MARK_STREAM, body)).events
    assert isinstance(mark, MarkReport)
    assert (mark.funding_rate, mark.next_funding_time, fault_of(mark)) == (None, 0, "")


@pytest.mark.parametrize(
    ("message", "stream", "model"),
    [
        (usdm_wire.MarkPriceMessage, MARK_STREAM, MarkReport),
        (usdm_wire.ForceOrderMessage, FORCE_STREAM, LiquidationReport),
        (usdm_wire.ContractInfoMessage, "!contractInfo", ContractReport),
    ],
)
def test_documented_payloads_can_be_true_in_either_form(message: type, stream: str, model: type) -> None:
    body = documented(message)
    [(symbol, [event])] = parse(wrapped(stream, body)).events
    assert (symbol, type(event), fault_of(event)) == ("BTCUSDT", model, "")
    assert parse(json.dumps(body).encode()).events == [("BTCUSDT", [event])]


def test_frames_that_come_together_are_one_run_of_each_stream() -> None:
    later = REAL_MARK.replace(b"539000", b"540000")
    parsed = parse(REAL_MARK, REAL_FORCE_ORDER, later)
    assert [(symbol, len(events)) for symbol, events in parsed.events] == [("BTCUSDT", 2), ("ILVUSDT", 1)]
    assert parsed.events[0][1] == [MARK, structs.replace(MARK, event_time=1790526540000)]


def test_changes_of_contracts_that_are_not_followed_are_ignored() -> None:
    body = documented(usdm_wire.ContractInfoMessage)
    frames = [wrapped("!contractInfo", body | {"s": symbol}) for symbol in ("XUSDT", "BTCUSDT", "YUSDT")]
    streams = names("!contractInfo", "btcusdt@aggTrade")
    together = parse(*frames, streams=streams)
    one_by_one = parse(*frames, b"{", streams=streams)
    assert [symbol for symbol, _ in together.events] == [symbol for symbol, _ in one_by_one.events] == ["BTCUSDT"]
    assert (together.ignored, one_by_one.ignored) == (2, 2)
    assert (len(together.rejected), len(one_by_one.rejected)) == (0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"p": "0"}, {"p": "-1"}, {"p": "1e12"}, {"p": "NaN"}, {"p": ""}, {"p": None}, {"i": "-1"}, {"i": "Infinity"},
        {"r": "1"}, {"r": "-1"}, {"r": "NaN"}, {"r": "none"}, {"r": None}, {"T": -1}, {"T": 10**17}, {"T": "soon"},
        {"E": 5}, {"s": 5}, {"s": "ETHUSDT"},
    ],
)  # fmt: skip
def test_a_mark_price_beyond_its_bounds_is_refused_and_its_neighbours_are_not(changes: dict[str, Any]) -> None:
    wrong = wrapped(MARK_STREAM, documented(usdm_wire.MarkPriceMessage) | changes)
    parsed = parse(REAL_MARK, wrong, REAL_MARK, streams=names(MARK_STREAM))
    assert parsed.events == [("BTCUSDT", [MARK, MARK])]
    [refused] = parsed.rejected
    assert (refused.symbol, refused.kind) == ("BTCUSDT", "markPrice")
    assert refused.reason


@pytest.mark.parametrize(
    "changes",
    [{"q": "0"}, {"q": "-1"}, {"p": "-1"}, {"S": "HOLD"}, {"S": None}, {"T": 5}, {"z": "-1"}, {"ap": "NaN"}, {"s": ""}],
)
def test_so_is_a_liquidation(changes: dict[str, Any]) -> None:
    body = documented(usdm_wire.ForceOrderMessage)
    wrong = wrapped(FORCE_STREAM, body | {"o": body["o"] | changes})
    parsed = parse(wrong, streams=names(FORCE_STREAM))
    assert parsed.events == []
    [refused] = parsed.rejected
    assert (refused.symbol, refused.kind) == ("BTCUSDT", "forceOrder")


def test_a_stream_brings_its_own_kind_only() -> None:
    parsed = parse(
        wrapped(MARK_STREAM, documented(usdm_wire.ForceOrderMessage)),
        wrapped(FORCE_STREAM, documented(usdm_wire.MarkPriceMessage)),
        streams=names(MARK_STREAM, FORCE_STREAM),
    )
    assert parsed.events == []
    assert all("wrong type" in refused.reason for refused in parsed.rejected)
    assert len(parsed.rejected) == 2


@pytest.mark.parametrize("frame", [REAL_MARK, REAL_FORCE_ORDER])
def test_no_mutation_breaks_the_parser_or_hides_the_next_frame(frame: bytes) -> None:
    parser = BinanceParser("binance-usdm")
    streams = names(MARK_STREAM, "ilvusdt@forceOrder", "!contractInfo")
    sound = 0
    for seed in range(300):
        wrong = mutated(frame, seed, others=[REAL_FORCE_ORDER, REAL_MARK]).frame
        parsed = parser.parse(RawFrames("market", [wrong, REAL_MARK], 7, streams))
        assert ("BTCUSDT", MARK) in [(symbol, event) for symbol, events in parsed.events for event in events]
        for symbol, events in parsed.events:
            assert symbol in ("BTCUSDT", "ILVUSDT")
            sound += sum(not fault_of(event) for event in events)
    assert sound >= 300


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (structs.replace(MARK, index_price=5_000.0), "at an index of"),
        (structs.replace(MARK, next_funding_time=MARK.event_time - 60_001), "next funding"),
        (structs.replace(MARK, next_funding_time=MARK.event_time + 3 * 86_400_000), "next funding"),
        (structs.replace(MARK, next_funding_time=0), "and no time"),
        (LiquidationReport("X", 10_000_000, 10_005_001, "BUY", 1.0, 1.0, 1.0, 1.0), "after it was sent"),
        (LiquidationReport("X", 90_000_000, 1_000, "BUY", 1.0, 1.0, 1.0, 1.0), "after it was sent"),
        (LiquidationReport("X", 10_000_000, 10_000_000, "BUY", 1.0, 1.0, 1.0, 1.1), "more is filled"),
        (ContractReport("X", 10_000_000, "PERPETUAL", "TRADING", 10**16), "beyond all bounds"),
    ],
)
def test_what_cannot_be_true(event: Any, reason: str) -> None:
    assert reason in fault_of(event)


def test_what_can_be_true() -> None:
    assert fault_of(MARK) == ""
    assert fault_of(structs.replace(MARK, index_price=0.0)) == ""
    assert fault_of(structs.replace(MARK, next_funding_time=MARK.event_time - 60_000)) == ""
