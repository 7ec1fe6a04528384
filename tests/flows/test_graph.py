import gzip
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import TestingSink, TestingSource, cluster_main, run_main
from msgspec import structs

from flows.clock import FeedClock
from flows.graph import Sinks, market_flow
from flows.machine import QueryRunner
from flows.model import (
    BookSnapshot,
    BookTicker,
    BookView,
    Candle,
    Disconnected,
    Document,
    Flush,
    Heartbeat,
    Incident,
    InstrumentStatus,
    MarketData,
    RawFrames,
    Rejected,
    Removed,
    Stats24h,
    Subscribed,
    TradeBatch,
)
from flows.operators.parse import Polled
from flows.queries import BookQuery, HistoryQuery, KlinesQuery, Query, QueryError
from flows.settings import Books, Feed
from sources.binance.parse import BinanceParser
from sources.binance.rules import RULES
from tests.fakes.recordings import frames_of, line_of, official_klines, pepe_frames, recording, trx_frames

QUOTE_ULPS = 4


class Outcome:
    """Everything that came out of a flow."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, list[Document]]] = []
        self.trades: list[tuple[str, list[TradeBatch]]] = []
        self.broadcast: list[tuple[str, list[Any]]] = []
        self.rejects: list[Rejected] = []
        self.incidents: list[Incident] = []

    @property
    def sinks(self) -> Sinks:
        return Sinks(
            candles=TestingSink(self.stored),
            trades=TestingSink(self.trades),
            broadcast=TestingSink(self.broadcast),
            rejects=TestingSink(self.rejects),
            incidents=TestingSink(self.incidents),
        )

    @property
    def candles(self) -> list[Candle]:
        return [item for _, items in self.stored for item in items if isinstance(item, Candle)]

    def closed(self, timeframe: str) -> dict[int, Candle]:
        """The last version of each closed candle, without the moment that it was made at."""
        return {
            c.open_time: structs.replace(c, event_time=0)
            for c in self.candles
            if c.is_closed and c.timeframe == timeframe
        }

    @property
    def trade_ids(self) -> list[int]:
        return [trade.id for _, batches in self.trades for batch in batches for trade in batch.trades]


def play(
    frames: list[bytes],
    *,
    venue: str = "binance",
    poll: int = 500,
    workers: int = 1,
    runner: QueryRunner | None = None,
    local_ms: Callable[[], int] = lambda: 0,
    **feed: Any,
) -> Outcome:
    """The frames through the real flow, so many a poll."""
    items: list[Any] = []
    for start in range(0, len(frames), poll):
        chunk = frames[start : start + poll]
        for line in ("market", "public"):
            payloads = [frame for frame in chunk if line_of(frame) == line]
            if payloads:
                items.append(RawFrames(line, payloads, 0))
        items.append(Flush())
    items.append(Flush(final=True))
    outcome = Outcome()
    # while the local clock stands, only the feed's own time closes anything
    flow = market_flow(
        source=TestingSource(items, batch_size=3),
        parser=BinanceParser(venue),
        feed=Feed(venue=venue, symbols=("X",), **feed),  # type: ignore[arg-type]
        sinks=outcome.sinks,
        clock=FeedClock(local_ms),
        runner=runner,
        rules=RULES[venue],
        books=Books(depth=1_000, first_depth=1_000, every_ms=0),  # a recording has one snapshot of 1,000
    )
    if workers > 1:
        cluster_main(flow, [], 0, worker_count_per_proc=workers)
    else:
        run_main(flow)
    return outcome


def assert_equal(ours: dict[int, Candle], official: list[dict[str, float]], *, but_quote: bool = False) -> None:
    names = {"count": "trades", "taker_buy_base": "taker_buy_volume", "taker_buy_quote": "taker_buy_quote_volume"}
    for row in official:
        candle = ours[int(row["open_time_ms"])]
        for name, value in row.items():
            if name == "open_time_ms" or (but_quote and "quote" in name):
                continue
            tolerance = QUOTE_ULPS * 2**-52 if "quote" in name else 0
            assert getattr(candle, names.get(name, name)) == pytest.approx(value, rel=tolerance, abs=0), (candle, name)


def test_a_day_of_pepeusdt_equals_the_official_candles() -> None:
    outcome = play(pepe_frames(), timeframes=("1m", "3m", "30m", "1d"))
    folder = recording("binance-spot-pepeusdt-2024-10-27")
    for timeframe, count in (("3m", 480), ("30m", 48)):
        official = official_klines(folder / f"binance_spot_PEPEUSDT_{timeframe}_2024-10-27.csv")
        # the end of input closes nothing: the last period is still forming, and right
        last = {c.open_time: c for c in outcome.candles if c.timeframe == timeframe and not c.is_closed}
        assert len(official) == count
        assert_equal(last | outcome.closed(timeframe), official)
        assert len(outcome.closed(timeframe)) == count - 1
    [day] = official_klines(folder / "binance_spot_PEPEUSDT_1d_2024-10-27.csv")
    [forming] = [c for c in outcome.candles if c.timeframe == "1d"][-1:]
    assert_equal({forming.open_time: forming}, [day])
    assert outcome.rejects == []
    assert [i.kind for i in outcome.incidents] == ["partial"]  # nobody knows what came before the first trade
    assert outcome.trade_ids == list(range(outcome.trade_ids[0], outcome.trade_ids[0] + 57_229))


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_spot_trades_equal_the_official_five_minutes(symbol: str) -> None:
    folder = recording("binance-spot-2024-08-08")
    frames = [f for path in sorted(folder.glob(f"{symbol}_*.gz")) for f in frames_of(path)]
    outcome = play(frames, streams=("trade",))
    official = official_klines(
        recording("official-klines") / f"binance_spot_{symbol.upper()}_5m_2024-08-08T2355_10m.csv"
    )
    assert len(official) == 2
    assert_equal(outcome.closed("5m"), official)
    assert outcome.rejects == []


def test_usdm_trades_equal_the_official_minutes() -> None:
    frames = list(frames_of(recording("binance-usdm-2024-08-08") / "btcusdt_20240808.gz"))
    outcome = play(frames, venue="binance-usdm", streams=("trade",))
    path: Path = recording("official-klines") / "binance_usdm_BTCUSDT_1m_2024-08-08T2354_12m.csv"
    first_whole = 1_723_161_300_000  # the recording begins at 23:54:15 and ends before midnight
    ours = outcome.closed("1m") | {c.open_time: c for c in outcome.candles if not c.is_closed and c.timeframe == "1m"}
    official = [row for row in official_klines(path) if first_whole <= row["open_time_ms"] < first_whole + 300_000]
    assert len(official) == 5
    assert_equal(ours, official)
    assert outcome.rejects == []
    assert [i.kind for i in outcome.incidents] == ["partial"]


def test_trades_in_microseconds_equal_the_official_five_minutes() -> None:
    outcome = play(trx_frames(), streams=("trade",))
    folder = recording("binance-spot-trxusdt-2025-03-04")
    official = official_klines(folder / "binance_spot_TRXUSDT_5m_2025-03-04T0000_45m.csv")
    assert len(official) == 9
    assert_equal(outcome.closed("5m"), official)


@pytest.mark.slow
@pytest.mark.parametrize(("poll", "workers"), [(1, 1), (37, 1), (5_000, 1), (500, 2)])
def test_neither_polls_nor_workers_change_a_candle(poll: int, workers: int) -> None:
    frames = trx_frames()
    expected = play(frames, streams=("trade",)).closed("5m")
    assert play(frames, streams=("trade",), poll=poll, workers=workers).closed("5m") == expected


def test_what_the_broadcast_gets() -> None:
    outcome = play(trx_frames()[:600], streams=("trade",))
    items = [item for _, batch in outcome.broadcast for item in batch]
    assert {type(item) for item in items} == {MarketData, Candle, TradeBatch, Incident, Heartbeat}
    assert [c for c in items if isinstance(c, Candle)] == outcome.candles
    assert [i.id for b in items if isinstance(b, TradeBatch) for i in b.trades] == outcome.trade_ids


@pytest.mark.parametrize("workers", [1, 2])
def test_the_states_of_instruments_reach_clients(workers: int) -> None:
    subscribed = Subscribed("market", ("TRXUSDT", "X"), ("trxusdt@trade", "x@trade"))
    items: list[Polled] = [subscribed, Flush(), Disconnected("market", ("X",), "line cut"), Flush(final=True)]
    outcome = Outcome()
    outages: dict[str, str] = {"mongodb": "no server"}
    flow = market_flow(
        source=TestingSource(items),
        parser=BinanceParser("binance"),
        feed=Feed(symbols=("TRXUSDT", "X"), streams=("trade",)),
        sinks=outcome.sinks,
        outages=lambda: outages,
    )
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    statuses = [item for _, batch in outcome.broadcast for item in batch if isinstance(item, InstrumentStatus)]
    states = {status.symbol: {one.channel: one.state for one in status.channels} for status in statuses}
    assert states == {
        "TRXUSDT": {"trades": "live", "store": "not stored"},
        "X": {"trades": "cut", "store": "not stored"},
    }


def test_a_hole_in_the_ids_is_an_incident_and_marks_the_candle() -> None:
    frames = trx_frames()
    outcome = play(frames[:200] + frames[210:], streams=("trade",))
    missing = [json.loads(frame)["data"]["t"] for frame in frames[200:210]]
    incident, hurt = outcome.incidents
    assert hurt.kind == "partial"
    assert (incident.kind, incident.first_id, incident.last_id) == ("gap", missing[0], missing[-1])
    time = json.loads(frames[200])["data"]["T"] // 1_000
    assert outcome.closed("1m")[time - time % 60_000].status == "partial"
    assert outcome.closed("5m")[1_741_047_600_000].status == "final"  # later ones are whole again


def test_behind_its_end_a_symbol_begins_anew_and_what_was_held_is_told() -> None:
    frames = trx_frames()
    gone = Removed("market", ("TRXUSDT",), ("trade", "kline"), is_gone=True)
    before, after = RawFrames("market", frames[:200], 0), RawFrames("market", frames[300:400], 0)
    parts: list[Polled] = [before, gone, after, Flush(final=True)]
    outcome = Outcome()
    run_main(
        market_flow(
            source=TestingSource(parts),
            parser=BinanceParser("binance"),
            feed=Feed(symbols=("TRXUSDT",), streams=("trade",)),
            sinks=outcome.sinks,
            clock=FeedClock(lambda: 0),
        )
    )
    ids = [json.loads(frame)["data"]["t"] for frame in frames]
    assert outcome.trade_ids == ids[:200] + ids[300:400]
    assert [incident.kind for incident in outcome.incidents if incident.kind == "gap"] == []
    last = json.loads(frames[199])["data"]["t"]
    assert last in {candle.last_id for candle in outcome.candles if candle.timeframe == "1d"}


def recorded_snapshot(path: Path) -> BookSnapshot:
    """The REST answer in the middle of a recording."""
    with gzip.open(path) as lines:
        body = next(line.partition(b" ")[2] for line in lines if b'{"lastUpdateId"' in line[:40])
    snapshot = json.loads(body)
    bids, asks = ([(float(price), float(quantity)) for price, quantity in snapshot[side]] for side in ("bids", "asks"))
    return BookSnapshot("ETHUSDT", snapshot["lastUpdateId"], bids, asks, snapshot["E"])


def recorded_quotes(frames: list[bytes]) -> dict[int, tuple[float, ...]]:
    """Best bid and ask of a recording by update id."""
    quotes = [json.loads(frame)["data"] for frame in frames if b"@bookTicker" in frame[:40]]
    return {quote["u"]: tuple(float(quote[name]) for name in "bBaA") for quote in quotes}


def test_books_best_quotes_and_statistics_reach_clients_and_the_store() -> None:
    path = recording("binance-usdm-2024-08-08") / "ethusdt_20240808.gz"
    frames = list(itertools.islice(frames_of(path), 14_000))  # into the first whole minute

    def run(_: str, query: Query, answer: Callable[[Any], None]) -> None:
        match query:
            case BookQuery():
                answer(recorded_snapshot(path))
            case KlinesQuery() | HistoryQuery():
                answer([])
            case _:
                answer(QueryError("nobody answers that here", lasting=True))

    streams = ("trade", "depth", "bookTicker")
    outcome = play(
        frames, venue="binance-usdm", poll=20, runner=run, local_ms=itertools.count().__next__, streams=streams
    )
    items = [item for _, batch in outcome.broadcast for item in batch]
    quotes = recorded_quotes(frames)

    unsynced, *views = [item for item in items if isinstance(item, BookView)]
    tops = {view.update_id: (*view.bids[0], *view.asks[0]) for view in views if view.update_id in quotes}
    assert (unsynced.synced, {view.synced for view in views}) == (False, {True})
    assert len(tops) > 5
    assert tops == {update: quotes[update] for update in tops}

    best = [item for item in items if isinstance(item, BookTicker)][-1]
    assert (best.bid_price, best.bid_quantity, best.ask_price, best.ask_quantity) == quotes[max(quotes)]

    figures = [item for item in items if isinstance(item, Stats24h)]
    stats = figures[-1]
    minutes = {candle.open_time: candle for candle in outcome.candles if candle.timeframe == "1m"}
    assert stats.complete
    assert stats.trades == sum(candle.trades for candle in minutes.values())
    assert [item for _, stored in outcome.stored for item in stored if isinstance(item, Stats24h)] == [
        next(item for item in figures if item.complete)
    ]
    assert {incident.kind for incident in outcome.incidents} <= {"partial", "history"}
