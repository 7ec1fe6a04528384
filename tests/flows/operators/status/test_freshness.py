"""What each channel is said to be, by what is known of lines, silence, witnesses, books, stores and time."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.clock import FeedClock
from flows.model import (
    Backpressure,
    Connected,
    ConnectionEvent,
    Disconnected,
    Heartbeat,
    InstrumentStatus,
    Removed,
    Silent,
    Speaking,
    Subscribed,
    TradeWitness,
    TradingStatus,
)
from flows.operators.status.channels import channel_of
from flows.operators.status.freshness import (
    CONFIRMED_MS,
    HEARTBEAT_MS,
    LATE_LOOKS,
    LATE_MS,
    REPEAT_MS,
    Freshness,
)
from flows.operators.status.observations import PROGRESS_MS, ChannelRefused, Progress, Unsynced
from flows.operators.time_gate import TimeGate

BEGIN = 1_767_225_600_000
BTC, ETH = ("BTCUSDT",), ("ETHUSDT",)
KINDS = ("aggTrade", "kline_1m", "ticker")
BOOKS = ("depth", "bookTicker")


def subscribed(line: str = "market", symbols: tuple[str, ...] = BTC, kinds: tuple[str, ...] = KINDS) -> Subscribed:
    return Subscribed(line, symbols, tuple(f"{symbol.lower()}@{kind}" for symbol in symbols for kind in kinds))


class Watched:
    """The keeper, with a local clock that tests hold in their hands; the venue's time is `BEGIN` later."""

    def __init__(self, *, knows_time: bool = True, **options: Any) -> None:
        self.local = 0
        self.clock = FeedClock(lambda: self.local)
        if knows_time:
            self.clock.observe(BEGIN)
        self.keeper = Freshness("binance", self.clock, **options)
        self.heartbeats: list[Heartbeat] = []
        self.states: dict[str, InstrumentStatus] = {}
        self.published = 0

    def take(self, *items: ConnectionEvent | Progress | TradeWitness | Unsynced | ChannelRefused) -> None:
        for item in self.keeper(list(items)):
            if isinstance(item, Heartbeat):
                self.heartbeats.append(item)
            else:
                self.published += 1
                self.states[item.symbol] = item

    def pass_time(self, ms: int, *, has_caught_up: bool = True, newest: int = 0) -> None:
        """Local time goes on, with a look at how far the flow has come every so often."""
        for _ in range(ms // PROGRESS_MS):
            self.local += PROGRESS_MS
            self.take(Progress(has_caught_up, newest))

    def channels(self, symbol: str = "BTCUSDT") -> dict[str, str]:
        return {one.channel: one.state for one in self.states[symbol].channels}

    def state(self, symbol: str = "BTCUSDT") -> tuple[str, int]:
        """The state and since when, ms of the venue's time since the begin."""
        status = self.states[symbol]
        return status.state, status.since - BEGIN


def test_a_line_is_connecting_live_cut_and_live_again() -> None:
    watched = Watched()
    watched.take(Connected("market", BTC, "ws://x"))
    assert (watched.state(), watched.channels()) == (("connecting", 0), {})
    watched.local = 100
    watched.take(subscribed())
    assert watched.state() == ("live", 100)
    assert watched.channels() == {"trades": "live", "klines": "live", "ticker": "live"}
    watched.local = 200
    watched.take(Disconnected("market", BTC, "line cut"))
    assert watched.state() == ("cut", 200)
    assert watched.states["BTCUSDT"].reason == "market: line cut"
    watched.local = 300
    watched.take(Connected("market", BTC, "ws://x"), Disconnected("market", BTC, "no route", 10, lasting=True))
    assert watched.state() == ("cut", 200)
    assert watched.states["BTCUSDT"].reason == "market: no route, 10 attempts failed"
    watched.local = 400
    watched.take(subscribed())
    assert watched.state() == ("live", 400)


def test_an_instrument_is_live_since_it_is_whatever_its_store_was() -> None:
    watched = Watched(outages=dict)
    watched.take(subscribed())
    watched.local = 30_000
    watched.take(Silent("market", BTC, KINDS, 4_000, whole_line=True))
    assert watched.state() == ("silent", 26_000)
    watched.local = 50_000
    watched.take(Speaking("market", BTC, KINDS))
    assert watched.state() == ("live", 50_000)
    watched.local = 60_000
    watched.take(Disconnected("market", BTC, "line cut"))
    watched.local = 70_000
    watched.take(subscribed())
    assert watched.state() == ("live", 70_000)


def test_an_instrument_has_its_state_since_it_was_in_no_other() -> None:
    watched = Watched()
    watched.take(subscribed())
    watched.local = 20_000
    watched.take(Silent("market", BTC, ("ticker",), 10_000))
    watched.take(Silent("market", BTC, ("aggTrade",), 4_000))
    assert watched.state() == ("silent", 16_000)
    watched.local = 30_000
    watched.take(Speaking("market", BTC, ("aggTrade",)))
    assert watched.state() == ("quiet", 30_000), "its ticker is since before it was silent"
    watched.take(Silent("market", BTC, ("kline_1m",), 15_000))
    assert watched.state() == ("quiet", 30_000)


@pytest.mark.parametrize("ahead_ms", [5_000, 86_400_000])
def test_nothing_is_since_a_time_to_come_when_the_venues_clock_goes_back(ahead_ms: int) -> None:
    watched = Watched(has_books=True)
    watched.take(subscribed(kinds=(*KINDS, "depth")))
    watched.local = 10_000
    watched.clock.set_to(BEGIN + watched.local + ahead_ms)
    watched.take(Unsynced("BTCUSDT", is_unsynced=False), Unsynced("BTCUSDT", is_unsynced=True))
    assert watched.state() == ("unsynced", 10_000 + ahead_ms)
    watched.take(Unsynced("BTCUSDT", is_unsynced=False))
    assert watched.state() == ("live", 10_000 + ahead_ms)
    watched.clock.set_to(BEGIN + watched.local)
    watched.pass_time(PROGRESS_MS)
    assert watched.state() == ("live", 10_000)
    assert all(one.since <= BEGIN + watched.local for one in watched.states["BTCUSDT"].channels)


def test_a_line_that_was_never_reached_is_cut() -> None:
    watched = Watched()
    watched.take(Disconnected("market", BTC, "refused"))
    assert (watched.state(), watched.channels()) == (("cut", 0), {})


def test_only_what_is_subscribed_has_a_state_and_the_worst_is_the_instruments() -> None:
    watched = Watched()
    watched.take(subscribed(kinds=("aggTrade",)), subscribed("public", kinds=("bookTicker",)))
    assert watched.channels() == {"trades": "live", "best": "live"}
    watched.take(Disconnected("public", BTC, "gone"))
    assert watched.channels() == {"trades": "live", "best": "cut"}
    assert watched.state()[0] == "cut"
    watched.take(Removed("public", BTC, ("bookTicker",), is_gone=False))
    assert (watched.channels(), watched.state()[0]) == ({"trades": "live"}, "live")


def test_without_names_of_streams_the_kinds_are_those_of_the_settings() -> None:
    watched = Watched(kinds=("trade", "depth"))
    watched.take(Subscribed("all", BTC, ()))
    assert watched.channels() == {"trades": "live", "book": "live"}


def test_trades_that_stop_are_silent_until_a_witness_agrees() -> None:
    watched = Watched()
    watched.take(subscribed())
    watched.local = 10_000
    watched.take(Silent("market", BTC, ("aggTrade",), 4_000))
    assert watched.channels() == {"trades": "silent", "klines": "live", "ticker": "live"}
    assert watched.state() == ("silent", 6_000)
    watched.take(TradeWitness("binance", "BTCUSDT", is_ahead=False))
    assert (watched.channels()["trades"], watched.state()) == ("quiet", ("quiet", 10_000))
    watched.take(TradeWitness("binance", "BTCUSDT", is_ahead=True, reason="REST knows trade 7"))
    assert watched.channels()["trades"] == "silent"
    assert watched.states["BTCUSDT"].reason == "REST knows trade 7"
    watched.take(Speaking("market", BTC, ("aggTrade",)), TradeWitness("binance", "BTCUSDT", is_ahead=False))
    assert watched.channels()["trades"] == "live"


def test_a_witness_that_is_ahead_makes_trades_silent_though_they_come() -> None:
    watched = Watched()
    watched.take(subscribed(), TradeWitness("binance", "BTCUSDT", is_ahead=True))
    assert watched.channels()["trades"] == "silent"


def test_what_a_witness_said_before_a_silence_does_not_explain_it() -> None:
    watched = Watched()
    watched.take(subscribed(), TradeWitness("binance", "BTCUSDT", is_ahead=False))
    watched.take(Silent("market", BTC, ("aggTrade",), 4_000))
    assert watched.channels()["trades"] == "silent"


@pytest.mark.parametrize("kind", ["kline_1m", "ticker"])
def test_another_stream_that_is_silent_alone_is_quiet(kind: str) -> None:
    watched = Watched()
    watched.take(subscribed(), Silent("market", BTC, (kind,), 4_000))
    channel = channel_of(kind)
    assert channel is not None
    assert (watched.channels()[channel], watched.channels()["trades"]) == ("quiet", "live")


def test_klines_are_silent_only_when_all_timeframes_are() -> None:
    watched = Watched()
    watched.take(subscribed(kinds=("aggTrade", "kline_1m", "kline_1h")), Silent("market", BTC, ("kline_1h",), 4_000))
    assert watched.channels()["klines"] == "live"
    watched.take(Silent("market", BTC, ("kline_1m",), 4_000))
    assert watched.channels()["klines"] == "quiet"


def test_an_exchange_that_sends_nothing_is_silent_and_a_witness_explains_it() -> None:
    watched = Watched()
    watched.take(subscribed())
    watched.local = 34_000
    watched.take(Silent("market", BTC, KINDS, 34_000, whole_line=True))
    assert set(watched.channels().values()) == {"silent"}
    assert watched.state() == ("silent", 0)
    assert watched.states["BTCUSDT"].reason == "the exchange sends nothing"
    watched.take(TradeWitness("binance", "BTCUSDT", is_ahead=False))
    assert set(watched.channels().values()) == {"quiet"}
    watched.take(Speaking("market", BTC, ("ticker",)))
    assert watched.channels() == {"trades": "quiet", "klines": "quiet", "ticker": "live"}


def test_a_stream_that_misses_trades_is_silent_until_it_brings_some_itself() -> None:
    watched = Watched()
    watched.take(subscribed(), Silent("market", BTC, ("aggTrade",), 3_000))
    watched.local = 2_000
    watched.take(TradeWitness("binance", "BTCUSDT", is_ahead=True, reason="up to 4 s late"))
    watched.local = 8_000
    watched.take(TradeWitness("binance", "BTCUSDT", is_ahead=True, reason="up to 5 s late"))
    assert (watched.state(), watched.states["BTCUSDT"].reason) == (("silent", 0), "up to 5 s late")
    watched.local = 9_000
    watched.take(TradeWitness("binance", "BTCUSDT", is_ahead=False, has_spoken=True))
    assert watched.state() == ("live", 9_000), "whether the line's watch has noticed or not"


@pytest.mark.parametrize("channel", ["klines", "ticker", "book", "best"])
def test_a_channel_of_which_everything_is_refused_is_silent(channel: Any) -> None:
    watched = Watched()
    watched.take(subscribed(), subscribed("public", kinds=BOOKS))
    watched.local = 4_000
    watched.take(ChannelRefused("BTCUSDT", channel, "everything that comes is refused: odd"))
    assert {name for name, state in watched.channels().items() if state != "live"} == {channel}
    assert (watched.state(), watched.states["BTCUSDT"].reason) == (
        ("silent", 4_000),
        "everything that comes is refused: odd",
    )
    watched.local = 9_000
    watched.take(ChannelRefused("BTCUSDT", channel, ""))
    assert watched.state() == ("live", 9_000)
    watched.take(ChannelRefused("BTCUSDT", channel, "odd"), subscribed())
    assert watched.state()[0] == "live"


def test_a_mark_price_that_stands_still_is_silent_while_all_else_speaks() -> None:
    kinds = ("aggTrade", "markPrice", "forceOrder")
    watched = Watched()
    watched.take(subscribed(kinds=kinds))
    watched.local = 9_000
    watched.take(Silent("market", BTC, ("markPrice",), 4_000))
    assert watched.channels() == {"trades": "live", "mark": "silent", "liquidations": "live"}
    assert watched.state() == ("silent", 5_000)
    watched.take(Silent("market", BTC, ("aggTrade",), 4_000), TradeWitness("binance", "BTCUSDT", is_ahead=False))
    assert watched.channels() == {"trades": "quiet", "mark": "silent", "liquidations": "live"}
    watched.take(Speaking("market", BTC, ("markPrice",)))
    assert watched.channels()["mark"] == "live"
    watched.take(ChannelRefused("BTCUSDT", "mark", "the mark price stands still"))
    assert watched.channels()["mark"] == "silent"


def test_a_silence_that_spreads_to_the_whole_line_began_when_each_stream_fell_silent() -> None:
    watched = Watched()
    watched.take(subscribed())
    watched.local = 30_000
    watched.take(Silent("market", BTC, ("aggTrade",), 20_000), TradeWitness("binance", "BTCUSDT", is_ahead=False))
    watched.local = 40_000
    watched.take(Silent("market", BTC, KINDS, 4_000, whole_line=True, line_pause_ms=1_000))
    assert {one.channel: (one.state, one.since - BEGIN) for one in watched.states["BTCUSDT"].channels} == {
        "trades": ("silent", 10_000), "klines": ("silent", 36_000), "ticker": ("silent", 36_000),
    }  # fmt: skip


def test_a_whole_line_of_books_is_not_quiet_because_trades_come_by_another() -> None:
    watched = Watched()
    watched.take(subscribed(), subscribed("public", kinds=BOOKS))
    watched.take(Silent("public", BTC, BOOKS, 4_000, whole_line=True))
    assert watched.channels() == {
        "trades": "live", "klines": "live", "ticker": "live", "book": "silent", "best": "silent",
    }  # fmt: skip


@pytest.mark.parametrize(("pause_ms", "state"), [(900, "silent"), (5_000, "silent"), (5_001, "quiet"), (0, "quiet")])
def test_a_busy_line_that_falls_silent_is_so_although_rest_knows_no_later_trade(pause_ms: int, state: str) -> None:
    watched = Watched()
    watched.take(subscribed())
    watched.local = 30_000
    watched.take(Silent("market", BTC, KINDS, 15_000, whole_line=True, line_pause_ms=pause_ms))
    watched.take(TradeWitness("binance", "BTCUSDT", is_ahead=False))
    assert set(watched.channels().values()) == {state}


def test_of_a_silent_line_each_symbol_is_judged_by_its_own_witness() -> None:
    watched = Watched()
    both = (*BTC, *ETH)
    watched.take(subscribed(symbols=both), Silent("market", both, KINDS, 40_000, whole_line=True))
    watched.take(TradeWitness("binance", "ETHUSDT", is_ahead=False))
    assert (watched.state("BTCUSDT")[0], watched.state("ETHUSDT")[0]) == ("silent", "quiet")


def test_a_confirmation_is_no_message_what_was_silent_stays_so_until_it_speaks() -> None:
    watched = Watched()
    watched.take(subscribed(), Silent("market", BTC, KINDS, 4_000, whole_line=True))
    since = {one.channel: one.since for one in watched.states["BTCUSDT"].channels}
    watched.pass_time(60_000)
    watched.take(Disconnected("market", BTC, "silent for 60 s"), Connected("market", BTC, "ws://x"), subscribed())
    assert set(watched.channels().values()) == {"silent"}
    watched.take(Silent("market", BTC, KINDS, 61_000, whole_line=True))
    assert set(watched.channels().values()) == {"silent"}
    assert {one.channel: one.since for one in watched.states["BTCUSDT"].channels} == since
    watched.pass_time(2 * CONFIRMED_MS)
    assert set(watched.channels().values()) == {"silent"}
    watched.take(Speaking("market", BTC, KINDS))
    assert set(watched.channels().values()) == {"live"}


def test_a_silence_that_the_source_does_not_confirm_ends() -> None:
    watched = Watched()
    watched.take(subscribed(), Silent("market", BTC, KINDS, 4_000, whole_line=True), subscribed())
    watched.pass_time(CONFIRMED_MS)
    watched.take(Progress(has_caught_up=True, newest=0))
    assert set(watched.channels().values()) == {"live"}


def test_a_book_is_unsynced_until_it_is_known_to_be_right() -> None:
    watched = Watched(has_books=True)
    watched.take(subscribed("public", kinds=BOOKS))
    assert watched.channels() == {"book": "unsynced", "best": "live"}
    watched.take(Unsynced("BTCUSDT", is_unsynced=False))
    assert (watched.channels()["book"], watched.state()[0]) == ("live", "live")
    watched.take(Unsynced("BTCUSDT", is_unsynced=True))
    assert watched.state()[0] == "unsynced"


def test_the_exchange_says_that_it_does_not_trade_or_is_not_listed() -> None:
    watched = Watched()
    watched.take(TradingStatus(BTC, "BREAK"), subscribed())
    assert set(watched.channels().values()) == {"halted"}
    assert "BREAK" in watched.states["BTCUSDT"].reason
    watched.take(TradingStatus(BTC, "TRADING"))
    assert watched.state()[0] == "live"
    watched.take(TradingStatus(BTC, ""))
    assert watched.state()[0] == "gone"
    watched.take(TradingStatus(("NOSUCH",), ""))
    assert (watched.state("NOSUCH")[0], watched.channels("NOSUCH")) == ("gone", {})


def test_a_line_that_is_cut_says_so_though_nothing_is_traded() -> None:
    watched = Watched()
    watched.take(subscribed(), TradingStatus(BTC, "BREAK"), Disconnected("market", BTC, "line cut"))
    assert watched.state()[0] == "cut"


def test_a_store_that_is_out_is_named() -> None:
    outages: dict[str, str] = {}
    watched = Watched(outages=lambda: outages)
    watched.take(subscribed())
    assert watched.channels()["store"] == "live"
    outages["trades"] = "disk full"
    watched.pass_time(PROGRESS_MS)
    assert (watched.channels()["store"], watched.channels()["trades"]) == ("not stored", "live")
    assert watched.states["BTCUSDT"].reason == "trades: disk full"
    outages["trades"] = ""
    watched.pass_time(PROGRESS_MS)
    assert watched.state()[0] == "live"


def test_a_flow_that_does_not_catch_up_is_behind() -> None:
    watched = Watched()
    watched.take(subscribed())
    watched.pass_time(LATE_MS, has_caught_up=False)
    assert watched.state()[0] == "live"
    watched.pass_time(2 * PROGRESS_MS, has_caught_up=False)
    assert set(watched.channels().values()) == {"behind"}
    watched.pass_time(PROGRESS_MS)
    assert watched.state()[0] == "live"


def test_a_line_that_has_to_wait_is_behind_until_nothing_waits() -> None:
    watched = Watched()
    watched.take(subscribed(), Backpressure("market", BTC, 1_000))
    assert watched.state()[0] == "behind"
    watched.pass_time(PROGRESS_MS, has_caught_up=False)
    assert watched.state()[0] == "behind"
    watched.pass_time(PROGRESS_MS)
    assert watched.state()[0] == "live"


def test_late_data_is_behind_where_the_exchanges_time_is_ours() -> None:
    timely, replayed = Watched(is_timely=True), Watched()
    for watched in (timely, replayed):
        watched.take(subscribed())
        watched.local = 60_000
        watched.pass_time(PROGRESS_MS * (LATE_LOOKS - 1), newest=BEGIN)
        assert watched.state()[0] == "live", "one late message is no delay"
        watched.pass_time(PROGRESS_MS, newest=BEGIN)
    assert (timely.state()[0], replayed.state()[0]) == ("behind", "live")
    timely.pass_time(PROGRESS_MS)
    assert timely.state()[0] == "behind", "a moment without data is no end of it"
    timely.pass_time(PROGRESS_MS, newest=BEGIN + timely.local)
    assert timely.state()[0] == "live"


@pytest.mark.parametrize("from_the_begin", [False, True])
def test_a_line_that_stays_late_is_behind_for_as_long_as_rest_says_so(from_the_begin: bool) -> None:
    watched = Watched(is_timely=True, knows_time=False)
    watched.take(subscribed())
    gate = TimeGate("binance", watched.clock, lambda answer: answer(BEGIN + watched.local), is_timely=True)

    def run(seconds: int, late_ms: int) -> set[str]:
        found = set()
        for _ in range(seconds * 1_000 // PROGRESS_MS):
            gate.passed(BEGIN + watched.local - late_ms, watched.clock.now())
            watched.pass_time(PROGRESS_MS, newest=BEGIN + watched.local - late_ms)
            found.add(watched.state()[0])
        return found

    if not from_the_begin:
        assert run(70, 0) == {"live"}
    run(2, 8_000)
    assert run(900, 8_000) == {"behind"}
    run(1, 50)
    assert run(90, 50) == {"live"}


def test_the_flow_is_alive_once_a_second() -> None:
    watched = Watched()
    watched.pass_time(5_000)
    expected = [BEGIN + PROGRESS_MS + n * HEARTBEAT_MS for n in range(5)]
    assert watched.heartbeats == [Heartbeat("binance", time) for time in expected]


def test_time_and_states_go_on_while_the_venues_clock_stands_still() -> None:
    watched = Watched()
    watched.local = 1_000
    watched.clock.tick(watched.local)
    watched.take(subscribed())
    watched.local += 9_000  # halted
    watched.clock.tick(watched.local)
    watched.take(Disconnected("market", BTC, "no route"))
    watched.pass_time(3_000)
    assert watched.clock.now().feed == BEGIN + 1_000
    assert watched.state() == ("cut", 10_000)
    assert watched.heartbeats[-1].time > BEGIN + 12_000
    assert not watched.heartbeats[-1].is_sure


def test_without_a_time_of_the_venue_the_states_come_all_the_same_and_get_it_later() -> None:
    watched = Watched(knows_time=False)
    watched.take(Connected("market", BTC, "ws://x"))
    watched.pass_time(2_000)
    assert watched.heartbeats[-1] == Heartbeat("binance", 0, is_sure=False)
    assert watched.states["BTCUSDT"].since == 0
    watched.clock.observe(BEGIN)
    watched.pass_time(PROGRESS_MS)
    assert watched.state() == ("connecting", -2_000)


def test_states_are_told_when_they_change_and_again_once_in_a_while() -> None:
    watched = Watched()
    watched.take(subscribed())
    watched.take(subscribed(), Progress(has_caught_up=True, newest=0))
    known = watched.published
    watched.pass_time(REPEAT_MS - PROGRESS_MS)
    assert watched.published == known
    watched.pass_time(PROGRESS_MS)
    assert watched.published == known + 1


def test_who_is_followed_no_more_has_no_state() -> None:
    watched = Watched()
    watched.take(subscribed(symbols=(*BTC, *ETH)), Removed("market", BTC, KINDS, is_gone=True))
    known = watched.published
    watched.take(Silent("market", BTC, KINDS, 4_000), TradeWitness("binance", "BTCUSDT", is_ahead=True))
    assert watched.published == known
    watched.states.clear()
    watched.pass_time(REPEAT_MS + PROGRESS_MS)
    assert set(watched.states) == {"ETHUSDT"}


SYMBOLS = st.lists(st.sampled_from(["BTCUSDT", "ETHUSDT", "X"]), max_size=3, unique=True).map(tuple)
LINES = st.sampled_from(["market", "public"])
SOME_KINDS = st.lists(st.sampled_from([*KINDS, *BOOKS, "kline_1h", "nothing we know"]), max_size=4).map(tuple)
EVENTS = st.one_of(
    st.builds(Connected, LINES, SYMBOLS, st.just("ws://x")),
    st.builds(subscribed, LINES, SYMBOLS, SOME_KINDS),
    st.builds(Disconnected, LINES, SYMBOLS, st.just("why"), st.integers(1, 12)),
    st.builds(Removed, LINES, SYMBOLS, SOME_KINDS, st.booleans()),
    st.builds(Silent, LINES, SYMBOLS, SOME_KINDS, st.integers(0, 90_000), st.booleans()),
    st.builds(Speaking, LINES, SYMBOLS, SOME_KINDS),
    st.builds(TradingStatus, SYMBOLS, st.sampled_from(["", "TRADING", "BREAK"])),
    st.builds(Backpressure, LINES, SYMBOLS, st.integers(0, 9)),
    st.builds(TradeWitness, st.just("binance"), st.sampled_from(["BTCUSDT", "X"]), st.booleans()),
    st.builds(Unsynced, st.sampled_from(["BTCUSDT", "X"]), st.booleans()),
    st.builds(ChannelRefused, st.sampled_from(["BTCUSDT", "X"]), st.just("klines"), st.sampled_from(["", "odd"])),
    st.builds(Progress, st.booleans(), st.just(0)),
)


@given(st.lists(EVENTS, max_size=40), st.booleans())
def test_whatever_happens_nothing_is_live_that_is_down_and_nothing_is_forgotten(events: list[Any], books: bool) -> None:
    watched = Watched(has_books=books, outages=dict)
    cut: set[tuple[str, str]] = set()
    for event in events:
        watched.local += 1
        watched.take(event)
        for symbol in getattr(event, "symbols", ()):
            if isinstance(event, Disconnected):
                cut.add((event.line, symbol))
            elif isinstance(event, Removed) and event.is_gone:
                cut = {pair for pair in cut if pair[1] != symbol}  # it is followed on no line any more
            elif isinstance(event, Subscribed | Removed):
                cut = {pair for pair in cut if pair != (event.line, symbol)}
    for _, symbol in cut:
        assert watched.states[symbol].state in ("cut", "gone")
    last = dict(watched.states)
    watched.pass_time(2 * REPEAT_MS)
    for symbol, status in watched.states.items():
        if symbol in watched.keeper._instruments:
            assert status.channels or status.state in ("cut", "connecting", "gone", "halted", "live")
            assert status.since <= BEGIN + watched.local
    assert set(last) == set(watched.states)
