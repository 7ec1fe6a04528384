from random import Random

import msgspec

from sources.replay.market.decimals import decimals_of
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.timeline import Timeline
from sources.replay.synthetic.book_maker import Diff, Ladder, Top
from sources.replay.synthetic.events import EventLog

PRINTER = PayloadEncoder("spot", "XUSDT", decimals_of("spot", price=2, quantity=0))


def ladder() -> Ladder:
    return Ladder(Random(1), ticks=10_000, order_lots=10.0, update_id=50, chained=True)


def test_what_happens_at_once_stays_in_order() -> None:
    sheet = EventLog(PRINTER, ladder())
    sheet.add_top(100, Top(51, 10_000, 5, 10_001, 6))
    sheet.add_trade(7, 100, 10_001, 2, maker=False)
    sheet.add_trade(8, 100, 10_001, 1, maker=False)
    sheet.add_top(100, Top(52, 10_000, 5, 10_001, 3))
    sheet.add_top(100, Top(53, 10_000, 5, 10_001, 3))  # another level changed, not the top
    sheet.add_diff(100, Diff(51, 53, 50, [(9_990, 4)], [(10_001, 3), (10_050, 0)]))
    segment = sheet.segment(first_aggregate_id=70)
    played = [
        (channel.streams[0], msgspec.json.decode(channel.payloads[index])) for _, channel, index in Timeline([segment])
    ]
    assert [stream for stream, _ in played] == [
        "xusdt@bookTicker",
        "xusdt@trade",
        "xusdt@trade",
        "xusdt@aggTrade",
        "xusdt@bookTicker",
        "xusdt@depth@100ms",
    ]
    aggregate, diff = played[3][1], played[5][1]
    assert (aggregate["a"], aggregate["f"], aggregate["l"], aggregate["q"]) == (70, 7, 8, "3.00000000")
    assert (diff["U"], diff["u"]) == (51, 53)
    assert diff["b"] == [["99.90000000", "4.00000000"]]
    assert diff["a"] == [["100.01000000", "3.00000000"], ["100.50000000", "0.00000000"]]


def test_a_strip_carries_the_book_at_its_begin() -> None:
    book = ladder()
    sheet, top = EventLog(PRINTER, book), book.top()
    book.follow(11_000.0)
    snapshots = sheet.segment(1).snapshots
    assert list(snapshots) == [0]
    assert 0 in snapshots
    assert 1 not in snapshots
    snapshot = snapshots[0]
    assert snapshot.last_id == book.last_diff_id
    assert max(snapshot.bids, key=lambda level: float(level[0]))[0] == PRINTER.decimals.price_text(top.bid)


def test_a_strip_without_trades() -> None:
    segment = EventLog(PRINTER, ladder()).segment(1)
    assert list(Timeline([segment])) == []
    assert segment.rows == 0
