"""What every venue of `VENUES` makes of wrong messages and answers, which the replay exchange sends in the venue's
dialect: they are refused with a reason, or noticed and made good. `-k kraken` runs those of one venue.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import pytest

from flows.model import (
    DAY_MS,
    TRADE_KINDS,
    BookView,
    Disconnected,
    Gap,
    Incident,
    Kline,
    Rejected,
    Subscribed,
    Trade,
    TradingStatus,
)
from flows.queries import BookQuery, KlinesQuery, QueryError, TradesQuery
from sources.replay.faults.content_faults import BookForms, Foreign, OddFrame, WrongBook, WrongTime, WrongValue
from sources.replay.faults.orders import AnswerForm, WrongAnswer
from sources.rest.client import VenueError
from sources.venues import VENUES
from tests.fakes.venue_line import LEVELS, VenueLine, venue_line
from tests.fakes.venue_peers import BEGIN, PEERS

MINUTE_MS = 60_000
OddForm = Literal["empty", "two", "lines", "number", "null", "string", "list", "object", "text"]
FOREIGN = 5
"""Foreign messages of a stream."""
STEADY = 10
"""Views of a book in a row."""
NOTICED_BY = {
    ("kraken", "crossed"): "the book's checksum is",
    ("kraken", "jump"): "the book's checksum is",
    ("kraken", "doubled"): "the book's checksum is",
    ("coinbase", "crossed"): "the book is crossed",
    ("coinbase", "many"): "the book is crossed",
    ("coinbase", "jump"): "frames are missing",
}
"""What says that a book is wrong where its levels are possible, by venue and form."""
REFUSED = frozenset(("negative", "huge"))
"""Forms that no message of any venue may have."""
ENDLESS = frozenset(("endless", "stalled"))
"""Answers that last as long as the client's patience."""


@pytest.fixture(params=sorted(VENUES))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@contextmanager
def playing(name: str) -> Iterator[VenueLine]:
    """A venue with trades and right books of both symbols; its market goes on."""
    with venue_line(name) as line:
        symbols = PEERS[name].symbols
        line.follow(*symbols)
        plans = {plan.line for plan in line.feed.plans(dict.fromkeys(symbols, ()))}
        line.until(lambda: {event.line for event in line.events_of(Subscribed)} == plans)
        line.exchange.resume()
        line.until(lambda: all(is_right(line, symbol) and line.sequenced(symbol) for symbol in symbols))
        yield line


def is_right(line: VenueLine, symbol: str) -> bool:
    view = line.view(symbol)
    return view is not None and view.synced


def is_steady(line: VenueLine, symbol: str) -> bool:
    """Whether its book has been right for a while: at first a busy machine may begin it twice."""
    views = line.of_symbol(symbol, BookView)[-STEADY:]
    return len(views) == STEADY and all(view.synced for view in views)


def words_of(line: VenueLine, symbol: str) -> str:
    """All reasons that were given."""
    incidents = [found.cause for found in line.of_symbol(symbol, Incident)]
    return "\n".join((*(one.reason for one in (*line.rejected, *line.events_of(Disconnected))), *incidents))


def rejected(line: VenueLine, *, foreign: bool) -> int:
    """Events of streams without a subscription, of which a message may have several, or frames that are no message."""
    return sum(one.count for one in line.rejected if ("without a subscription" in one.reason) is foreign)


def book_of(line: VenueLine, symbol: str) -> Any:
    row = line.market.depth(line.peer.instrument(symbol), LEVELS)
    assert row is not None
    return tuple([(float(price), float(size)) for price, size in row[side]] for side in ("bids", "asks"))


def assert_the_book_is_the_exchanges(line: VenueLine, symbol: str) -> None:
    """Sooner or later; the market stands still from now on."""
    line.until(lambda: is_right(line, symbol))
    line.exchange.pause()

    def is_so() -> bool:
        view = line.view(symbol)
        return view is not None and view.synced and (view.bids, view.asks) == book_of(line, symbol)

    line.until(is_so)


def assert_trades_are_the_exchanges(line: VenueLine, symbol: str, *, more: int = 20) -> None:
    """Also those that follow."""
    newest = line.sequenced(symbol)[-1].id
    line.until(lambda: line.sequenced(symbol)[-1].id >= newest + more)
    trades = line.sequenced(symbol)
    assert [trade.id for trade in trades] == list(range(trades[0].id, trades[-1].id + 1))
    query = TradesQuery(symbol, trades[0].id, trades[-1].id, trades[0].time - 1, trades[-1].time + 1)
    assert [fields_of(trade) for trade in trades] == [
        fields_of(trade) for trade in line.answer(line.rest.trades(query))
    ]


def fields_of(trade: Any) -> tuple[Any, ...]:
    return trade.id, trade.time, trade.price, trade.quantity, trade.buyer_is_maker


# --- messages ---


@pytest.mark.parametrize("form", get_args(BookForms))
def test_a_wrong_book_is_noticed_and_the_exchanges_comes_again(name: str, form: BookForms) -> None:
    with playing(name) as line:
        one = PEERS[name].symbols[0]
        true = line.view(one)
        assert true is not None
        price = true.bids[0][0]
        before = len(line.of_symbol(one, BookView))
        line.exchange.inject(WrongBook(stream=PEERS[name].books_of(one), form=form, insert=True, count=2))
        if form in REFUSED:
            line.until(lambda: len(line.rejected) >= 2)
        elif words := NOTICED_BY.get((name, form)):
            line.until(lambda: words in words_of(line, one))
        assert_trades_are_the_exchanges(line, one)
        views = [view for view in line.of_symbol(one, BookView)[before:] if view.synced]
        assert all(price / 2 < level < price * 2 for view in views for level, _ in (*view.bids, *view.asks))
        assert all(0 < size < 1e12 for view in views for _, size in (*view.bids, *view.asks))
        if form != "doubled" or name == "kraken":  # without a checksum an audit finds it, and not at once
            assert_the_book_is_the_exchanges(line, one)


@pytest.mark.parametrize("count", [1, 3])
def test_trades_of_a_wrong_time_move_no_clock_and_the_true_ones_are_fetched(name: str, count: int) -> None:
    with playing(name) as line:
        one, other = PEERS[name].symbols
        line.exchange.inject(WrongTime(stream=PEERS[name].trades_of(one), by_ms=DAY_MS, count=count))
        # one whose run goes on at the true time is refused by the sequence, one that ends its run by its time
        line.until(lambda: len(refused_trades(line, one)) >= count)
        for symbol in (one, other):
            assert_trades_are_the_exchanges(line, symbol)
        assert line.now.feed < line.sequenced(other)[-1].time + DAY_MS // 2
        assert line.of_symbol(one, Gap) == []


def refused_trades(line: VenueLine, symbol: str) -> list[Rejected]:
    found = (*line.rejected, *line.of_symbol(symbol, Rejected))
    return [one for one in found if one.kind in TRADE_KINDS]


def test_foreign_and_odd_frames_are_refused_and_change_nothing(name: str) -> None:
    with playing(name) as line:
        one, other = PEERS[name].symbols
        line.until(lambda: is_steady(line, one) and is_steady(line, other))
        before = {symbol: len(line.of_symbol(symbol, BookView)) for symbol in (one, other)}
        lines = len(line.events_of(Disconnected))
        streams = (PEERS[name].trades_of(one), PEERS[name].books_of(one))
        foreign = PEERS[name].instrument("X{n}-USD")
        for stream in streams:
            line.exchange.inject(Foreign(stream=stream, symbol=foreign, messages=FOREIGN))
            for form in get_args(OddForm):
                text = "<html>" if form == "text" else ""
                line.exchange.inject(OddFrame(stream=stream, form=form, text=text, insert=True))
        odd, others = len(streams) * len(get_args(OddForm)), len(streams) * FOREIGN
        line.until(lambda: rejected(line, foreign=False) >= odd and rejected(line, foreign=True) >= others)
        assert all(found.reason for found in line.rejected)
        for symbol in (one, other):
            assert_trades_are_the_exchanges(line, symbol)
            unsynced = [view for view in line.of_symbol(symbol, BookView)[before[symbol] :] if not view.synced]
            assert unsynced == [], (unsynced, line.of_symbol(symbol, Incident), line.events_of(Disconnected))
        assert len(line.events_of(Disconnected)) == lines
        assert rejected(line, foreign=False) == odd
        assert_the_book_is_the_exchanges(line, one)


def test_coinbases_statuses_by_stream_are_given_when_they_change() -> None:
    with playing("coinbase") as line:
        one = PEERS["coinbase"].symbols[0]
        line.until(lambda: [found.status for found in statuses_of(line, one)] == ["TRADING"])
        line.exchange.inject(WrongValue(stream="status", field="products.0.status", text="offline", count=1))
        line.until(lambda: [found.status for found in statuses_of(line, one)] == ["TRADING", "OFFLINE", "TRADING"])
        assert line.rejected == []


def statuses_of(line: VenueLine, symbol: str) -> list[TradingStatus]:
    parser = line.venue.parser()
    found = [status for polled in line.polled for status in parser.parse(polled).statuses]
    return [status for status in found if symbol in status.symbols]


# --- answers of REST ---


def test_a_wrong_answer_is_refused_or_holds_nothing_else_than_was_queried(name: str) -> None:
    with playing(name) as line:
        one = PEERS[name].symbols[0]
        line.until(lambda: line.sequenced(one)[-1].id >= line.sequenced(one)[0].id + 20)
        line.exchange.pause()
        trades = line.sequenced(one)[:20]
        first, last = trades[0], trades[-1]
        ids = TradesQuery(one, first.id, last.id, first.time - 1, last.time + 1)
        minute = KlinesQuery(one, "1m", BEGIN, BEGIN + MINUTE_MS)
        true = [fields_of(trade) for trade in line.answer(line.rest.trades(ids))]
        klines = line.answer(line.rest.klines(minute))
        listed = {(found.symbol, found.status) for found in line.answer(line.rest.instruments())}
        for form in get_args(AnswerForm):
            if form in ENDLESS or form == "field":
                continue
            found = wrongly(line, form, lambda: line.rest.trades(ids))
            assert [trade.id for trade in found] == [row[0] for row in true][: len(found)], form
            if form != "times":  # which the sequence compares with its own
                assert [fields_of(trade) for trade in found] == true[: len(found)], form
            periods = {kline.open_time: kline for kline in wrongly(line, form, lambda: line.rest.klines(minute))}
            assert periods.keys() <= {kline.open_time for kline in klines}, form
            assert {found.symbol for found in wrongly(line, form, line.rest.instruments)} <= {row[0] for row in listed}
            wrongly(line, form, lambda: line.rest.book(BookQuery(one, LEVELS)))
        assert [fields_of(trade) for trade in line.answer(line.rest.trades(ids))] == true


def wrongly(line: VenueLine, form: AnswerForm, query: Any) -> list[Any]:
    """What a query gives whose first answer is wrong; nothing for one that is refused with a reason."""
    line.exchange.inject(WrongAnswer(form=form))
    try:
        found = line.answer(query())
    except (VenueError, QueryError) as error:
        assert str(error), form
        return []
    finally:
        line.exchange.clear_faults()
    assert not isinstance(found, list) or all(isinstance(one, Trade | Kline) or one.symbol for one in found)
    return found if isinstance(found, list) else []
