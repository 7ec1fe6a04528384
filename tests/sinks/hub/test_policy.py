"""The hub's laws, with a clock and lines that tests hold in their hands."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from msgspec.structs import replace
from websockets.frames import Frame
from websockets.streams import StreamReader

from flows.clock import Now
from flows.model import (
    BookTicker,
    BookView,
    Candle,
    FeedStatus,
    Heartbeat,
    InstrumentStatus,
    ListedInstrument,
    MarketData,
    Publishable,
    Ticker,
    Trade,
    TradeBatch,
)
from flows.settings import Hub as HubSettings
from flows.spellings import Catalogue
from sinks.hub.client import FULL_MS, Client
from sinks.hub.market.venue_market import FORMING_MS, TOGETHER_MS
from sinks.hub.messages import CHANNELS
from sinks.hub.policy import Hub
from sinks.hub.rights import MARKET_AND_ACCOUNT
from sinks.hub.subscription import DEFAULT, NamesOf, Rule, Subscription, as_named
from tests.fakes import candles
from tests.fakes.candles import stats, ticker_of_ones

BEGIN = 1_767_225_600_000
ALL = Subscription((Rule(wanted=True, channels=frozenset(CHANNELS)),), MARKET_AND_ACCOUNT)


class Line:
    """A client's line that takes so many writes at a time."""

    def __init__(self, room: int = 10**9) -> None:
        self.room = room
        self.heard: list[dict[str, Any]] = []
        self.dismissed: int | None = None

    def write_frames(self, frames: bytes) -> bool:
        reader = StreamReader()
        reader.feed_data(frames)
        while reader.buffer:
            parsing = Frame.parse(reader.read_exact, mask=False)
            try:
                next(parsing)
            except StopIteration as done:
                self.heard.append(json.loads(done.value.data))
        self.room -= 1
        return self.room > 0

    def begin_close(self, code: int, reason: str) -> None:
        self.dismissed = code

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]


class Playing:
    def __init__(self, names_of: NamesOf = as_named, **settings: Any) -> None:
        self.hub = Hub(HubSettings(**settings), origins={"binance": "replay"}, first_seq=1_000, names_of=names_of)
        self.now = Now(BEGIN, 0)

    def at(self, local_ms: int, *items: Publishable) -> None:
        self.now = Now(BEGIN + local_ms, local_ms)
        self.hub.publish(items, self.now)
        self.hub.on_time(self.now)
        self.hub.flush(self.now)

    def join(self, line: Line, subscription: Subscription = ALL, resume_after: int | None = None) -> Client:
        return self.hub.join(line, self.now, encoding="json", subscription=subscription, resume_after=resume_after)

    def give_room(self, client: Client, line: Line, room: int) -> None:
        line.room = room
        self.hub.on_writable(client, self.now)


def price(value: float, symbol: str = "BTCUSDT") -> MarketData:
    return MarketData("binance", symbol, value, BEGIN)


def candle(minute: int = 0, *, closed: bool = True, close: float = 1.0) -> Candle:
    status = "final" if closed else "forming"
    return candles.candle(minute, close=close, is_closed=closed, status=status, event_time=BEGIN)


def batch(number: int) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", [Trade("BTCUSDT", number, BEGIN, 1.0, 1.0, False, BEGIN)])


def test_any_spelling_of_a_listed_instrument_is_subscribed_by_its_own_name() -> None:
    catalogue = Catalogue()
    catalogue.put("binance", [ListedInstrument("binance", "BTCUSDT", "TRADING", "BTC", "USDT")])
    play, line, named = Playing(catalogue.symbols), Line(), Line()
    client = play.join(line, DEFAULT)
    play.hub.on_request(
        client, '{"op":"subscribe","channels":["MarketData"],"symbols":["xbt/usdt","SOL-USD"]}', play.now
    )
    channels = frozenset(("MarketData",))
    play.join(named, Subscription((Rule(wanted=True, channels=channels, symbols=frozenset(("BTC_USDT",))),)))
    play.at(0, price(1.0), price(2.0, "ETHUSDT"), price(3.0, "SOL-USD"))
    [answer] = line.of_type("Subscribed")
    assert sorted(answer["data"]["symbols"]) == ["BTCUSDT", "SOL-USD"]
    assert [one["data"]["price"] for one in line.of_type("MarketData")] == [1.0, 3.0]
    assert [one["data"]["price"] for one in named.of_type("MarketData")] == [1.0]
    play.hub.on_request(client, '{"op":"unsubscribe","symbols":["BTC/USDT"]}', play.now)
    play.at(100, price(4.0))
    assert len(line.of_type("MarketData")) == 2


def test_a_venue_of_which_nothing_will_ever_come_is_refused_and_changes_nothing() -> None:
    play, line = Playing(), Line()
    client = play.join(line, DEFAULT)
    play.hub.on_request(client, '{"op":"subscribe","venues":["binance","nosuch"]}', play.now)
    [error] = line.of_type("Error")
    assert "nosuch" in error["data"]["reason"]
    assert "binance" in error["data"]["reason"]
    assert not line.of_type("Subscribed")
    assert client.subscription == DEFAULT
    play.hub.on_request(client, '{"op":"unsubscribe","venues":["nosuch"]}', play.now)
    assert line.of_type("Unsubscribed")


def test_a_price_goes_at_once_and_the_newest_of_those_that_follow_in_its_turn() -> None:
    play, line = Playing(rate=100), Line()
    play.join(line)
    play.at(0, price(1.0))
    play.at(3, price(2.0))
    play.at(7, price(3.0))
    assert play.hub.next_deadline_ms == 10
    play.at(10)
    assert [m["data"]["price"] for m in line.heard] == [1.0, 3.0]
    assert play.hub.next_deadline_ms is None


def test_a_price_that_went_and_came_back_is_no_news() -> None:
    play, line = Playing(rate=100), Line()
    play.join(line)
    play.at(0, price(1.0))
    play.at(1, price(2.0), price(1.0))
    play.at(50, price(1.0))
    assert [m["data"]["price"] for m in line.heard] == [1.0]


def test_best_bid_and_ask_are_paced_like_prices() -> None:
    play, line = Playing(rate=100), Line()
    play.join(line)
    for ms in (0, 3, 7):
        play.at(ms, BookTicker("BTCUSDT", ms, 1.0 + ms, 1.0, 20.0, 1.0))
    assert play.hub.next_deadline_ms == 10 + TOGETHER_MS, "it wakes nothing before others may come"
    play.at(10)
    play.at(11, BookTicker("BTCUSDT", 11, 12.0, 1.0, 20.0, 1.0))
    play.hub.release(play.now)
    play.hub.flush(play.now)
    assert [message["data"]["bid_price"] for message in line.of_type("BookTicker")] == [1.0, 8.0, 12.0]


def test_complete_statistics_of_our_own_take_the_place_of_the_exchanges_with_prices_and_charts() -> None:
    play, line = Playing(rate=100), Line()
    play.join(line)
    theirs = MarketData("binance", "BTCUSDT", 1.0, BEGIN, 7.0, 8.0, 9.0)
    play.at(0, theirs, stats(complete=False))
    play.at(20, stats())
    play.at(40, theirs)
    play.at(60, MarketData("binance", "BTCUSDT", 2.0, BEGIN, 7.0, 8.0, 9.0), candle())
    names = ("price", "price_change_24h", "price_change_percent_24h", "volume_24h")
    told = [tuple(message["data"][name] for name in names) for message in line.of_type("MarketData")]
    assert told == [(1.0, 7.0, 8.0, 9.0), (1.0, 5.0, 5.0, 2_000.0), (2.0, 5.0, 5.0, 2_000.0)]
    (chart,) = line.of_type("ChartUpdate")
    assert chart["data"]["volume_24h"] == 2_000.0


def test_a_close_ends_the_forming_candle_that_waits_but_not_a_newer_one() -> None:
    play, line = Playing(), Line()
    play.join(line)
    play.at(0, candle(0, closed=False, close=1.0), candle(0, closed=False, close=2.0), candle(0, close=3.0))
    play.at(1, candle(1, closed=False, close=4.0), candle(0, close=5.0))
    play.at(FORMING_MS)
    assert [(m["data"]["candle"]["close"]) for m in line.of_type("Candle")] == [1.0, 3.0, 5.0, 4.0]


def test_a_number_of_another_hub_is_never_taken_for_one_of_this() -> None:
    play, line = Playing(), Line()
    play.at(0, price(1.0))
    play.join(line, resume_after=999)
    assert [m["type"] for m in line.heard] == ["Reset", "Snapshot"]


def test_a_full_queue_is_patient_only_while_the_client_reads() -> None:
    play, line = Playing(capacity=1), Line(room=1)
    client = play.join(line)
    for number in range(4):
        play.at(number, batch(number))
    play.at(FULL_MS, batch(8))
    assert line.dismissed is None
    play.give_room(client, line, 2)
    play.at(FULL_MS + 10, batch(9), batch(10))
    assert line.dismissed is None
    play.at(FULL_MS + 5_000, batch(11))
    line.room = 0
    play.at(3 * FULL_MS + 10, batch(12), batch(13))
    play.at(5 * FULL_MS, batch(14))
    assert line.dismissed == 1013
    assert play.hub.counters.clients == 0


def test_who_loses_nobody_else_loses() -> None:
    play, slow, fast = Playing(capacity=1), Line(room=1), Line()
    play.join(slow)
    play.join(fast)
    for step in range(6):
        play.at(step * FULL_MS, batch(step), batch(10 + step))
    assert slow.dismissed == 1013
    assert len(fast.of_type("Trade")) == 12


def test_nobody_is_always_the_last() -> None:
    order: list[Line] = []

    class Noted(Line):
        def write_frames(self, frames: bytes) -> bool:
            order.append(self)
            return super().write_frames(frames)

    play = Playing()
    lines: list[Line] = [Noted() for _ in range(3)]
    for line in lines:
        play.join(line)
    for number in range(4):
        play.at(number * 100, price(float(number)))
        play.at(number * 100 + 50)
    firsts = [lines.index(line) for line in order[::3]]
    assert sorted(firsts[:3]) == [0, 1, 2]
    assert firsts[3] == firsts[0]


def test_without_clients_nothing_is_encoded() -> None:
    play = Playing()
    play.at(0, price(1.0), candle(0), batch(1), FeedStatus("binance", "market", "live", ()))
    assert [message._frames for message in play.hub._recent._messages] == [{}] * 5


def test_what_was_lost_while_a_client_was_away_is_announced() -> None:
    play, line, away, back = Playing(), Line(), Line(), Line()
    play.join(line)
    client = play.join(away)
    play.at(0, batch(1))
    play.hub.leave(client)
    play.hub.on_loss(5_000, play.now)
    play.at(1_000, batch(2))
    play.join(back, resume_after=away.heard[-1]["seq"])
    assert [message["type"] for message in line.heard] == ["Trade", "Lagged", "Trade"]
    assert [message["type"] for message in back.heard] == ["Reset", "Snapshot"]
    after = line.heard[-1]["seq"]
    play.at(2_000, batch(3))
    again = Line()
    play.join(again, resume_after=after)
    assert [message["data"]["trades"][0]["id"] for message in again.heard] == [3], "what followed is resumed as ever"


update = st.one_of(
    st.builds(price, st.floats(1, 9), st.sampled_from(["BTCUSDT", "ETHUSDT"])),
    st.builds(candle, st.integers(0, 5), closed=st.booleans(), close=st.floats(1, 9)),
    st.integers(1, 99).map(batch),
)
steps = st.lists(st.tuples(st.integers(0, 200), st.lists(update, max_size=6), st.integers(0, 3)), max_size=40)


@given(steps, st.integers(1, 8))
def test_order_newest_and_no_silent_loss(played: list[Any], capacity: int) -> None:
    play, fast, slow = Playing(capacity=capacity), Line(), Line(room=1)
    play.join(fast)
    client, now = play.join(slow), 0
    for wait_ms, items, room in played:
        now += min(wait_ms, FULL_MS // 41)
        play.at(now, *items)
        if room and client.behind:
            play.give_room(client, slow, room)
    play.give_room(client, slow, 10**9)
    seqs = [m["seq"] for m in slow.heard if "seq" in m]
    assert seqs == sorted(set(seqs))
    assert [m["seq"] for m in fast.heard] == list(range(1_001, 1_001 + len(fast.heard)))
    lost = sum(m["dropped"] for m in slow.of_type("Lagged"))
    assert lost == play.hub.counters.dropped
    keepers = [m for m in fast.heard if never_merged(m)]
    kept = [m for m in slow.heard if never_merged(m)]
    assert [m for m in keepers if m in kept] == kept
    assert len(keepers) - len(kept) <= lost
    if not lost:
        assert newest(slow.heard) == newest(fast.heard)


def never_merged(message: dict[str, Any]) -> bool:
    return message["type"] in ("ChartUpdate", "Trade") or (
        message["type"] == "Candle" and message["data"]["candle"]["is_closed"]
    )


def newest(messages: list[dict[str, Any]]) -> dict[Any, Any]:
    return {(m["type"], m["data"]["symbol"]): m for m in messages if m["type"] == "MarketData"}


@given(steps, st.data())
def test_resuming_gives_what_a_client_that_stayed_saw(played: list[Any], data: st.DataObject) -> None:
    play, stayed, now = Playing(), Line(), 0
    play.join(stayed, DEFAULT)
    for wait_ms, items, _ in played:
        now += wait_ms
        play.at(now, *items)
    cut = data.draw(st.integers(0, len(stayed.heard)))
    after = stayed.heard[cut - 1]["seq"] if cut else 1_000
    back = Line(room=data.draw(st.integers(1, 3)))
    client = play.join(back, DEFAULT, resume_after=after)
    play.at(now + 1_000, price(99.0))
    play.give_room(client, back, 10**9)
    assert back.heard == stayed.heard[cut:]


REMOVED = FeedStatus("binance", "market", "removed", ("BTCUSDT",), "not wanted any more")


def everything_of(symbol: str) -> list[Publishable]:
    """News of each channel that has a present."""
    quote = BookTicker(symbol, 1, 1.0, 1.0, 2.0, 1.0)
    closed, running = (replace(made, symbol=symbol) for made in (candle(0), candle(1, closed=False)))
    book = BookView("binance", symbol, True, 1, BEGIN, [(1.0, 1.0)], [(2.0, 1.0)])
    ticker = ticker_of_ones(symbol=symbol)
    return [price(1.0, symbol), closed, running, quote, book, ticker, replace(stats(), symbol=symbol)]


def snapshot(play: Playing) -> list[dict[str, Any]]:
    """What a client hears of the present that comes now."""
    line = Line()
    client = play.join(line)
    play.hub.on_request(client, json.dumps({"op": "subscribe", "channels": CHANNELS}), play.now)
    play.hub.leave(client)
    return [message for part in line.of_type("Snapshot") for message in part["data"]["messages"]]


def test_a_symbol_that_is_removed_has_no_present_any_more_and_followers_are_told() -> None:
    play, line = Playing(), Line()
    play.join(line)
    live = FeedStatus("binance", "market", "live", ("BTCUSDT", "ETHUSDT"))
    play.at(0, live, *everything_of("BTCUSDT"), *everything_of("ETHUSDT"))
    play.at(10)  # the price with the statistics
    known = snapshot(play)
    assert {m["type"] for m in known if m["data"].get("symbol") == "BTCUSDT"} == {
        "MarketData", "ChartUpdate", "Candle", "BookTicker", "OrderBook", "Ticker", "Stats",
    }  # fmt: skip
    play.at(20, FeedStatus("binance", "market", "live", ("ETHUSDT",)), REMOVED)
    left = snapshot(play)
    assert [m for m in left if m["type"] != "Status"] == [m for m in known if m["data"].get("symbol") == "ETHUSDT"]
    assert [m["data"]["symbols"] for m in left if m["type"] == "Status"] == [["ETHUSDT"]]
    told = line.heard[-1]["data"]
    assert (told["state"], told["symbols"], told["reason"]) == ("removed", ["BTCUSDT"], "not wanted any more")


def test_news_that_were_on_their_way_when_their_symbol_was_removed_are_not_told() -> None:
    play, line = Playing(), Line()
    play.join(line)
    play.at(0, price(1.0))
    play.at(1, price(2.0))  # held back
    play.at(5, REMOVED)
    play.at(20, *everything_of("BTCUSDT"), price(3.0, "ETHUSDT"))
    assert [(m["data"]["symbol"], m["data"]["price"]) for m in line.of_type("MarketData")] == [
        ("BTCUSDT", 1.0),
        ("ETHUSDT", 3.0),
    ]
    assert line.of_type("Candle") == []
    assert [m["data"].get("symbol", "") for m in snapshot(play)] == ["ETHUSDT"]


def test_a_symbol_that_comes_back_is_told_at_once() -> None:
    play, line = Playing(), Line()
    play.join(line)
    play.at(0, price(1.0), REMOVED)
    play.at(20, FeedStatus("binance", "market", "live", ("BTCUSDT",)), price(1.0))
    assert [m["data"]["price"] for m in line.of_type("MarketData")] == [1.0, 1.0]
    assert [m["type"] for m in snapshot(play)] == ["Status", "MarketData"]


def test_nothing_is_held_of_symbols_that_came_and_went() -> None:
    play = Playing(ring=10)
    play.join(Line())
    for number in range(50):
        symbol = f"S{number}USDT"
        play.at(10 * number, *everything_of(symbol), FeedStatus("binance", "market", "removed", (symbol,)))
    [hub] = play.hub._markets._of.values()
    assert snapshot(play) == []
    assert not hub._newest_price
    assert not hub._stats
    assert [conflator._free_at for conflator in (hub._prices, hub._best, hub._forming)] == [{}, {}, {}]


def state(state: Any, symbol: str = "BTCUSDT") -> InstrumentStatus:
    return InstrumentStatus("binance", symbol, state, BEGIN)


def states(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    sent = [message["data"] for message in messages if message["type"] == "Status"]
    return [(data.get("symbol", ""), data["state"]) for data in sent]


def snapshot_of(playing: Playing, subscription: Subscription = ALL) -> list[dict[str, Any]]:
    line = Line()
    client = playing.join(line, subscription)
    playing.hub.on_request(client, json.dumps({"op": "subscribe", "channels": list(CHANNELS)}), playing.now)
    return [part for message in line.of_type("Snapshot") for part in message["data"]["messages"]]


def test_states_of_instruments_are_sent_and_known_to_who_comes_late() -> None:
    playing, line = Playing(), Line()
    playing.join(line)
    playing.at(0, state("live"), state("cut", "ETHUSDT"))
    playing.at(1, state("live", "ETHUSDT"))
    assert states(line.heard) == [("BTCUSDT", "live"), ("ETHUSDT", "cut"), ("ETHUSDT", "live")]
    assert states(snapshot_of(playing)) == [("BTCUSDT", "live"), ("ETHUSDT", "live")]
    playing.at(2, FeedStatus("binance", "market", "removed", ("ETHUSDT",)), state("cut", "ETHUSDT"))
    assert states(snapshot_of(playing)) == [("BTCUSDT", "live")]


def test_a_client_that_asks_for_one_symbol_hears_of_its_state_and_of_the_lines() -> None:
    playing, line = Playing(), Line()
    one = Rule(wanted=True, channels=frozenset(["Status"]), symbols=frozenset(["BTCUSDT"]))
    playing.join(line, Subscription((one,)))
    playing.at(0, state("live"), state("live", "ETHUSDT"), Heartbeat("binance", BEGIN))
    assert states(line.heard) == [("BTCUSDT", "live"), ("", "alive")]


def test_a_heartbeat_is_of_its_moment_and_never_told_later() -> None:
    playing, line = Playing(), Line()
    playing.at(0, Heartbeat("binance", BEGIN), state("live"))
    assert states(snapshot_of(playing)) == [("BTCUSDT", "live")]
    playing.join(line, resume_after=1_000)
    assert states(line.heard) == [("BTCUSDT", "live")]


def test_who_is_slow_gets_the_newest_heartbeat_and_state_alone() -> None:
    playing, line = Playing(), Line(room=1)
    client = playing.join(line)
    playing.at(0, price(1.0))
    for second in range(5):
        playing.at(second, Heartbeat("binance", BEGIN + second), state("live" if second % 2 else "cut"))
    playing.give_room(client, line, 100)
    sent = [message["data"] for message in line.of_type("Status")]
    assert [(data["state"], data.get("time")) for data in sent] == [
        ("alive", "2026-01-01T00:00:00.004Z"),
        ("cut", None),
    ]


def test_a_kind_of_news_that_a_venue_has_of_its_own_is_taken_as_the_models() -> None:
    class OwnTicker(Ticker, frozen=True, gc=False):
        pass

    play = Playing()
    client = Line()
    play.join(client)
    own = OwnTicker(**structs.asdict(ticker_of_ones()))
    for local_ms in (0, 1):
        play.at(local_ms, own)
    assert [message["data"]["symbol"] for message in client.of_type("Ticker")] == ["BTCUSDT"] * 2
