"""The checklist against our own replay exchange, against one with faults, and against none."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sources.replay.conformance.checklist import findings_about, rules_of
from sources.replay.conformance.peer import Peer, Seen
from sources.replay.conformance.rules import Outcome
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.content_faults import WrongValue
from sources.replay.faults.orders import AnyFault, Duplicate, Gap, Refuse, WrongAnswer
from sources.replay.synthetic.market import SyntheticMarket

ROOT = Path(__file__).parents[4]
SYMBOL = "BTCUSDT"
LISTEN_S = 8.0
SPEED = 3.0
"""So that several messages of the slowest stream come within that time."""


async def outcomes(exchange: ReplayExchange, market: str) -> dict[str, Outcome]:
    """The outcome of every rule."""
    async with Peer(exchange.rest_url, exchange.ws_url, market=market, symbol=SYMBOL) as peer:
        found = await findings_about(peer, listen_s=LISTEN_S)
    return {one.rule: one.outcome for one in found}


def market_of(kind: Any) -> SyntheticMarket:
    """A market that trades often."""
    return SyntheticMarket(kind, (SYMBOL,), seed=3, start_ms=1_767_225_600_000, trades_per_s=20.0)


@pytest.mark.parametrize("kind", ["spot", "usdm"])
async def test_our_own_exchange_keeps_every_rule(kind: str) -> None:
    async with running_exchange(market_of(kind), speed=SPEED, start_now=True) as exchange:
        found = await outcomes(exchange, kind)
    assert found == {rule.text: Outcome.KEPT for rule in rules_of(kind)}


FAULTS: dict[str, AnyFault] = {
    "ping is answered by {}": Refuse(status=503, path="/api/v3/ping", count=1),
    "klines are of whole minutes, in order and within the limit": WrongAnswer(path="/api/v3/klines", form="page"),
    "aggTrade has every id once, and fills that follow": Duplicate(stream="btcusdt@aggTrade", after=3, count=1),
    "depth@100ms has no gap": Gap(stream="btcusdt@depth@100ms", after=5, count=1),
    "ticker has the figures of a day": WrongValue(stream="btcusdt@ticker", field="c", json="7", count=1),
}
"""By the rule that each breaks."""


async def test_each_rule_finds_the_fault_that_breaks_it_and_no_other_one() -> None:
    async with running_exchange(market_of("spot"), speed=SPEED, start_now=True) as exchange:
        for fault in FAULTS.values():
            exchange.inject(fault)
        found = await outcomes(exchange, "spot")
    assert {rule for rule, outcome in found.items() if outcome is Outcome.BROKEN} == set(FAULTS)


def test_a_server_that_is_not_there_breaks_every_rule() -> None:
    command = [sys.executable, "-m", "sources.replay", "--check", "http://127.0.0.1:1", "--json"]
    ended = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    assert ended.returncode == 1
    rows = json.loads(ended.stdout)
    assert [row["rule"] for row in rows[1:]] == [rule.text for rule in rules_of("spot")]
    of_streams = {row["outcome"] for row in rows[1:] if row["area"] == "streams"}
    assert of_streams == {"not seen"}
    assert {row["outcome"] for row in rows if row["area"] != "streams"} == {"broken"}


# --- what streams bring, judged alone ---

AGGREGATE = {"e": "aggTrade", "E": 9, "s": SYMBOL, "a": 1, "p": "2", "q": "3", "f": 5, "l": 6, "T": 8, "m": True}
NEXT = AGGREGATE | {"a": 2, "f": 7, "l": 7}
DEPTH = {"e": "depthUpdate", "E": 1_000, "s": SYMBOL, "U": 1, "u": 4, "b": [["2", "1"]], "a": []}
LATER = DEPTH | {"E": 2_000, "U": 5, "u": 5}
BEST = {"u": 1, "s": SYMBOL, "b": "2", "B": "1", "a": "3", "A": "1"}
MINUTE = {
    "t": 60_000, "T": 119_999, "s": SYMBOL, "i": "1m", "f": 3, "L": 4, "o": "1", "c": "1", "h": "1", "l": "1", "v": "1",
    "n": 2, "x": False, "q": "1", "V": "1", "Q": "1",
}  # fmt: skip
KLINE = {"e": "kline", "E": 9, "s": SYMBOL, "k": MINUTE}


async def outcome_of(stream: str, messages: list[Any], rule_text: str, snapshot: Any = None) -> str:
    """What one rule says of messages of one stream."""
    [rule] = [one for one in rules_of("spot") if one.text.startswith(rule_text)]
    async with Peer("http://127.0.0.1:1", "ws://127.0.0.1:1", market="spot", symbol=SYMBOL) as peer:
        peer.seen = Seen({f"btcusdt{stream}": messages}, snapshot or {})
        try:
            await rule.judge(peer)
        except Exception as error:  # noqa: BLE001 - whichever it is, it is the outcome
            return type(error).__name__
    return "kept"


@pytest.mark.parametrize(
    ("stream", "rule", "true", "wrong"),
    [
        ("@aggTrade", "aggTrade has", [AGGREGATE, NEXT], [AGGREGATE, NEXT | {"a": 3}]),
        ("@aggTrade", "aggTrade has", [AGGREGATE, NEXT], [AGGREGATE, NEXT | {"f": 8, "l": 8}]),
        ("@aggTrade", "aggTrade has", [AGGREGATE, NEXT], [AGGREGATE, NEXT | {"p": 2}]),
        ("@aggTrade", "aggTrade has", [AGGREGATE, NEXT], [AGGREGATE, NEXT | {"m": 1}]),
        ("@aggTrade", "aggTrade has", [AGGREGATE, NEXT], [AGGREGATE, NEXT | {"s": "ETHUSDT"}]),
        ("@aggTrade", "aggTrade has", [AGGREGATE, NEXT], [AGGREGATE, NEXT | {"T": 10}]),
        ("@depth@100ms", "depth@100ms has", [DEPTH, LATER], [DEPTH, LATER | {"U": 6, "u": 6}]),
        ("@depth@100ms", "depth@100ms has", [DEPTH, LATER], [DEPTH, LATER | {"b": [[2, 1]]}]),
        ("@depth", "the slowest depth", [DEPTH, LATER], [DEPTH, LATER | {"E": 1_100}]),
        ("@bookTicker", "bookTicker", [BEST, BEST | {"u": 2}], [BEST, BEST | {"u": 1}]),
        ("@bookTicker", "bookTicker", [BEST, BEST | {"u": 2}], [BEST, BEST | {"u": 2, "b": "3"}]),
        ("@bookTicker", "bookTicker", [BEST, BEST | {"u": 2}], [BEST, BEST | {"u": 2, "e": "bookTicker"}]),
        ("@kline_1m", "kline is", [KLINE], [KLINE | {"k": MINUTE | {"T": 120_000}}]),
        ("@kline_1m", "kline is", [KLINE], [KLINE | {"k": MINUTE | {"n": 3}}]),
        ("@kline_1m", "kline is", [KLINE], [KLINE | {"k": MINUTE | {"x": 0}}]),
    ],
)
async def test_a_message_that_is_wrong_breaks_the_rule_of_its_stream(
    stream: str, rule: str, true: list[Any], wrong: list[Any]
) -> None:
    assert await outcome_of(stream, true, rule) == "kept"
    assert await outcome_of(stream, wrong, rule) == "BrokenRuleError"
    assert await outcome_of(stream, [], rule) == "UnseenError"


@pytest.mark.parametrize(
    ("last", "outcome"),
    [(0, "kept"), (3, "kept"), (4, "kept"), (5, "kept"), (6, "UnseenError"), (-1, "BrokenRuleError")],
)
async def test_a_book_of_rest_is_joined_by_a_difference(last: int, outcome: str) -> None:
    rule = "depth@100ms joins"
    assert await outcome_of("@depth@100ms", [DEPTH, LATER], rule, {"lastUpdateId": last}) == outcome
