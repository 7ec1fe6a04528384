"""Recorded trades through the real machines (parse ▶ validate ▶ sequence ▶ candles ▶ proof) against official klines."""

from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from flows.clock import FeedClock, Now
from flows.model import Candle, Incident, Kline, StoreOnly
from flows.operators.candles.compare import differing_fields
from flows.operators.candles.versions import candle_of_kline, is_unchanged
from flows.operators.parse import Batch, Parse, by_instrument
from flows.operators.validate import Validate
from flows.queries import DisputedTradesQuery, HistoryQuery, KlinesQuery, Query
from flows.settings import Feed
from flows.steps.trades import sequence_candles
from sources.kraken.klines import stated
from sources.kraken.parse import KrakenParser
from sources.kraken.rules import RULES
from tests.fakes.kraken_frames import REST_SYMBOL, polled, rest_rows, trade_frame

MINUTE = 60_000
BEGIN_MS = 1_762_795_433_000
"""Before the first trade."""
PRINTED = Decimal("1e-8")
KEY = f"kraken:{REST_SYMBOL}"


def frame_of(row: list[Any]) -> bytes:
    """A recorded trade of REST as the stream would have brought it."""
    time = datetime.fromtimestamp(int(row[2]), UTC)
    fraction = f"{Decimal(str(row[2])) % 1:.6f}"[1:]
    return trade_frame(
        {"symbol": "BTC/USDT", "side": "buy" if row[3] == "b" else "sell", "price": float(row[0]),
         "qty": float(row[1]), "trade_id": row[6], "timestamp": f"{time:%Y-%m-%dT%H:%M:%S}{fraction}Z"}
    )  # fmt: skip


def official(row: list[Any]) -> Kline:
    """A recorded kline of REST, closed."""
    prices = float(row[1]), float(row[2]), float(row[3]), float(row[4])
    begin = row[0] * 1_000
    kline = stated(REST_SYMBOL, "1m", begin, prices, row[5], float(row[6]), row[7], event_time=begin + MINUTE - 1)
    return msgspec.structs.replace(kline, is_closed=True)


class Flow:
    """The machines of one instrument; REST answers with these klines. Local time is that of the trades."""

    def __init__(self, klines: dict[int, Kline]) -> None:
        feed = Feed.model_validate({"venue": "kraken", "streams": ("trade",), "timeframes": ("1m", "5m")})
        self._klines = klines
        self._parse = Parse("kraken", KrakenParser())
        self._now = BEGIN_MS
        self._validate = Validate("kraken", FeedClock(lambda: self._now), RULES)
        self._machine = sequence_candles(KEY, None, feed=feed, can_query=True, rules=RULES)
        self._open: deque[Query] = deque()
        self.candles: dict[int, Candle] = {}
        self.incidents: list[Incident] = []

    def take(self, frame: bytes, time: int) -> None:
        """One frame; before it the machine is woken as time passes."""
        while self._now < time:
            self._now = min(time, self._now + 500)
            self._validate([])  # the source is polled, and has nothing
            if self._machine.due_in(self._present) == 0:
                self._note(self._machine.on_timer(self._present))
        for item in by_instrument(self._validate(self._parse([polled(frame, streams=None)]))):  # type: ignore[arg-type]
            assert isinstance(item, Batch)
            self._note(self._machine.on_events(item.events, self._present))  # type: ignore[arg-type]

    @property
    def _present(self) -> Now:
        return Now(self._now, self._now)

    def _note(self, out: Any) -> None:
        for item in out:
            match item:
                case Query():
                    self._open.append(item)
                case Candle(is_closed=True, timeframe="1m"):
                    self.candles[item.open_time] = item
                case StoreOnly(candle=Candle(timeframe="1m") as candle):
                    self.candles[candle.open_time] = candle
                case Incident():
                    self.incidents.append(item)
        while self._open:
            query = self._open.popleft()
            self._note(self._machine.on_answer(query, self._answer(query), self._present))

    def _answer(self, query: Query) -> Any:
        if isinstance(query, KlinesQuery):
            known = self._klines if query.timeframe == "1m" else {}
            return [kline for begin, kline in known.items() if query.start <= begin <= query.end]
        return [] if isinstance(query, HistoryQuery | DisputedTradesQuery) else None


@pytest.fixture(scope="module")
def day() -> tuple[Flow, dict[int, list[Any]]]:
    """The flow after all trades, and the rows of the minutes that lie wholly within them."""
    rows, trades = rest_rows("http_ohlc"), rest_rows("http_trades")
    flow = Flow({row[0] * 1_000: official(row) for row in rows})
    for trade in trades:
        flow.take(frame_of(trade), int(trade[2] * 1_000))
    first, last = (int(trades[at][2]) // 60 * 60 for at in (0, -1))
    return flow, {row[0] * 1_000: row for row in rows if first < row[0] < last}


def test_every_traded_minute_equals_the_official_one(day: tuple[Flow, dict[int, list[Any]]]) -> None:
    flow, rows = day
    traded = {begin: row for begin, row in rows.items() if row[7]}
    assert len(traded) == 272
    for begin, row in traded.items():
        candle = flow.candles[begin]
        assert candle.prices == tuple(float(text) for text in row[1:5])
        assert (candle.volume, candle.trades) == (float(row[6]), row[7])
        quote_volume, volume, stated_average = Decimal(candle.quote_volume), Decimal(candle.volume), Decimal(row[5])
        # cut to one decimal; our quote volume is rounded to eight
        assert -PRINTED <= quote_volume - stated_average * volume < Decimal("0.1") * volume + PRINTED
        assert candle.status == "final"


def test_every_minute_without_a_trade_is_flat_as_the_official_one(day: tuple[Flow, dict[int, list[Any]]]) -> None:
    flow, rows = day
    empty = {begin: row for begin, row in rows.items() if not row[7]}
    assert len(empty) == 137
    for begin, row in empty.items():
        candle = flow.candles[begin]
        assert candle.prices == tuple(float(text) for text in row[1:5])
        assert (candle.volume, candle.quote_volume, candle.trades, candle.status) == (0.0, 0.0, 0, "final")


def test_what_rest_states_proves_each_of_them(day: tuple[Flow, dict[int, list[Any]]]) -> None:
    flow, rows = day
    proofs = [flow.candles[begin].proof for begin in rows]
    assert proofs.count("equal") >= len(rows) - 2  # the last ones are not queried yet
    assert set(proofs) <= {"equal", ""}
    assert {incident.kind for incident in flow.incidents} <= {"partial", "history"}


def test_an_average_that_another_trade_makes_is_a_difference(day: tuple[Flow, dict[int, list[Any]]]) -> None:
    flow, rows = day
    begin, row = next((begin, row) for begin, row in rows.items() if row[7] > 2)
    candle = flow.candles[begin]
    assert differing_fields(candle, official(row)) == []
    moved = [*row[:5], str(Decimal(row[5]) + Decimal("0.3")), *row[6:]]
    assert differing_fields(candle, official(moved)) == ["quote_volume"]
    counted = [*row[:7], row[7] + 1]
    assert differing_fields(candle, official(counted)) == ["trades"]


def test_what_the_venue_does_not_state_is_compared_with_nothing_and_not_claimed() -> None:
    kline = official([1_762_795_440, "9.0", "9.5", "8.0", "9.0", "9.1", "2.0", 3])
    served = candle_of_kline("kraken", kline)
    assert served.taker_buy_volume != served.taker_buy_volume
    recovered = msgspec.structs.replace(served, taker_buy_volume=float("nan"), taker_buy_quote_volume=float("nan"))
    assert is_unchanged(served, recovered)
    assert not is_unchanged(served, msgspec.structs.replace(recovered, volume=3.0))
