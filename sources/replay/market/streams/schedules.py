"""When derived messages are sent: klines and tickers by the clock, not with each trade."""

from collections.abc import Iterator

import msgspec

from flows.model import DAY_MS
from sources.replay.market.contracts import ContractSchedule
from sources.replay.market.encode import Statistics
from sources.replay.market.intervals import HOUR_MS, MINUTE_MS, intervals_of, next_open, open_of
from sources.replay.market.lives import State
from sources.replay.market.market import MarketKind, Message, Wanted
from sources.replay.market.symbol_market import SymbolMarket

TICK_MS: dict[MarketKind, int] = {"spot": 1_000, "usdm": 250}
"""How often a market checks what is due; the shortest interval of any of its streams."""
LAG_MS = 20
"""How long after a full tick: a closed kline is sent shortly after the end of its period."""

_FORMING_MS: dict[MarketKind, int] = {"spot": 2_000, "usdm": 250}
_SECOND_MS = 1_000
_CHINA_MS = 8 * HOUR_MS
_ZONES: dict[MarketKind, dict[str, int]] = {"spot": {"": 0, "@+08:00": _CHINA_MS}, "usdm": {"": 0}}
"""Ends of the names of kline streams, and how far their clocks are ahead of UTC, ms."""
WINDOWS_MS: dict[MarketKind, dict[str, int]] = {"spot": {"1h": HOUR_MS, "4h": 4 * HOUR_MS, "1d": DAY_MS}, "usdm": {}}
"""The rolling windows beside the one of 24 hours."""
_TICKER_MS: dict[MarketKind, int] = {"spot": 1_000, "usdm": 2_000}


class KlineSchedule:
    """The kline stream of one symbol and interval. The closed kline is sent after all trades of its period."""

    def __init__(self, market: SymbolMarket, interval: str, zone: str = "") -> None:
        encoder = market.encoder
        self.stream = f"{encoder.symbol.lower()}@kline_{interval}{zone}"
        self._zone_ms = _ZONES[encoder.kind][zone]
        self._market = market
        self._interval = interval
        self._interval_ms = _SECOND_MS if interval == "1s" else _FORMING_MS[encoder.kind]
        self.reset()

    def reset(self) -> None:
        """Back to the initial state, when the stream has no subscriber any more."""
        self.active = False
        """Whether the stream had a subscriber at the last tick."""
        self._open_ms: int | None = None
        self._seen = -1
        self._sent_ms = 0

    def on_tick(self, now_ms: int) -> Iterator[Message]:
        """The messages due now: periods that have closed, then the running one if it has changed."""
        zone_ms = self._zone_ms
        running = open_of(self._interval, now_ms, zone_ms=zone_ms)
        self.active = True
        if self._open_ms is None:
            self._open_ms = running
        while self._open_ms < running:
            if not self._market.is_settled(self._interval, self._open_ms, zone_ms=zone_ms):
                return
            yield from self._message(self._open_ms, now_ms, closed=True)
            self._open_ms = next_open(self._interval, self._open_ms, zone_ms=zone_ms)
            self._sent_ms = 0
        count = self._market.trade_count
        if count != self._seen and now_ms - self._sent_ms >= self._interval_ms:
            self._seen, self._sent_ms = count, now_ms
            yield from self._message(running, now_ms, closed=False)

    def _message(self, open_ms: int, now_ms: int, *, closed: bool) -> Iterator[Message]:
        zone_ms = self._zone_ms
        kline = self._market.kline(self._interval, open_ms, zone_ms=zone_ms)
        if kline is not None:
            encoder = self._market.encoder
            text = encoder.kline(self._interval, kline, event_ms=now_ms, closed=closed, zone_ms=zone_ms)
            yield Message(now_ms, self.stream, text)


class ContinuousKlines(KlineSchedule):
    """The same of a pair and a kind of contract, of USD-M."""

    def __init__(self, market: SymbolMarket, interval: str) -> None:
        super().__init__(market, interval)
        self.stream = f"{market.encoder.pair.lower()}_perpetual@continuousKline_{interval}"

    def _message(self, open_ms: int, now_ms: int, *, closed: bool) -> Iterator[Message]:
        for message in super()._message(open_ms, now_ms, closed=closed):
            kline = msgspec.json.decode(message.data)["k"]
            del kline["s"]
            head = {"e": "continuous_kline", "E": now_ms, "ps": self._market.encoder.pair, "ct": "PERPETUAL"}
            yield message._replace(data=msgspec.json.encode(head | {"k": kline}))


class SymbolSchedule:
    """The streams of one symbol that are sent by the clock; `recorded` are those that the tape contains."""

    def __init__(self, market: SymbolMarket, recorded: frozenset[str]) -> None:
        encoder = market.encoder
        name = encoder.symbol.lower()
        self._market = market
        schedules = [
            KlineSchedule(market, interval, zone)
            for zone in _ZONES[encoder.kind]
            for interval in intervals_of(encoder.kind)
        ]
        if encoder.kind == "usdm":
            schedules += [ContinuousKlines(market, interval) for interval in intervals_of("usdm")]
        self._klines = [(schedule.stream, schedule) for schedule in schedules if schedule.stream not in recorded]
        self._ticker, self._mini = f"{name}@ticker", f"{name}@miniTicker"
        self._ticker_ms = _TICKER_MS[encoder.kind]
        self._windows = [(f"{name}@ticker_{window}", window) for window in WINDOWS_MS[encoder.kind]]
        self._average = f"{name}@avgPrice"
        self._shown: dict[str, tuple[int, ...]] = {}
        self._recorded = recorded
        self.contract = ContractSchedule(market, recorded) if encoder.kind == "usdm" else None
        """What a futures contract has besides."""

    def on_tick(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """The messages due now of the streams that are wanted."""
        for stream, schedule in self._klines:
            if wanted(stream):
                yield from schedule.on_tick(now_ms)
            elif schedule.active:
                schedule.reset()
        if now_ms % _SECOND_MS != LAG_MS or self._market.life.state(now_ms) in (State.UNLISTED, State.DELISTED):
            return
        if self.contract is not None:
            yield from self.contract.on_second(now_ms, wanted)
        if now_ms % self._ticker_ms == LAG_MS:
            yield from self._on_tickers(now_ms, wanted)
        if self._market.encoder.kind == "spot":
            yield from self._on_spot_second(now_ms, wanted)

    def _on_tickers(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        for stream in (self._ticker, self._mini):
            if stream not in self._recorded and wanted(stream):
                payload = self.ticker(now_ms, mini=stream is self._mini)
                if payload is not None:
                    yield Message(now_ms, stream, msgspec.json.encode(payload))

    def _on_spot_second(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """What spot alone has: rolling windows, the average price."""
        for stream, window in self._windows:
            if wanted(stream) and (found := self.rolling(now_ms, window)):
                payload = found.rolling_payload(self._market.encoder, window, event_ms=now_ms)
                yield Message(now_ms, stream, msgspec.json.encode(payload))
        if wanted(self._average) and self._market.trade_count:
            price, last_ms = self._market.average(now_ms)
            symbol = self._market.encoder.symbol
            row = {"e": "avgPrice", "E": now_ms, "s": symbol, "i": "5m", "w": price, "T": last_ms}
            yield Message(now_ms, self._average, msgspec.json.encode(row))

    def changed(self, stream: str, now_ms: int, window: str | None, *, mini: bool) -> dict[str, object] | None:
        """The row of this symbol in a stream of all symbols; None when it has not changed since the last one."""
        if self._market.life.state(now_ms) is State.DELISTED:
            return None
        found = self._market.statistics(now_ms) if window is None else self.rolling(now_ms, window)
        if found is None or self._shown.get(stream) == found.window[1:]:
            return None
        self._shown[stream] = found.window[1:]
        encoder = self._market.encoder
        if window is not None:
            return found.rolling_payload(encoder, window, event_ms=now_ms)
        make = found.mini_payload if mini else found.payload
        return make(encoder, event_ms=now_ms)

    def rolling(self, now_ms: int, window: str) -> Statistics | None:
        """The statistics of a window that opens on a whole minute."""
        open_ms = (now_ms - WINDOWS_MS[self._market.encoder.kind][window]) // MINUTE_MS * MINUTE_MS
        return self._market.statistics(now_ms, open_ms=open_ms)

    def ticker(self, now_ms: int, *, mini: bool) -> dict[str, object] | None:
        """The ticker payload at `now_ms`; None before the first trade."""
        statistics = self._market.statistics(now_ms)
        if statistics is None:
            return None
        encoder = self._market.encoder
        make = statistics.mini_payload if mini else statistics.payload
        return make(encoder, event_ms=now_ms)
