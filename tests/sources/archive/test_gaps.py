from flows.model import DAY_MS, Incident
from sources.archive.gaps import ImportGaps
from sources.archive.spans import Span

FIRST, SECOND, THIRD = (Span("XUSDT", n * DAY_MS, (n + 1) * DAY_MS, ()) for n in range(3))


def gap(begin: int, end: int, symbol: str = "XUSDT", first_id: int = 5) -> Incident:
    return Incident("gap", "binance", symbol, begin, end, "trades did not arrive", "open", first_id, first_id)


def test_a_hole_is_one_of_each_span_that_it_reaches_into() -> None:
    gaps = ImportGaps()
    assert gaps.sort([FIRST]) == ([FIRST], [])
    gaps.write([gap(DAY_MS - 10, DAY_MS + 10)])
    assert gaps.sort([SECOND, THIRD]) == ([THIRD], [FIRST, SECOND])


def test_of_other_symbols_or_between_days_it_is_none() -> None:
    gaps = ImportGaps()
    gaps.write([gap(10, 20, "YUSDT"), gap(DAY_MS, 2 * DAY_MS), gap(10, 20, first_id=-1)])
    assert gaps.sort([FIRST, THIRD]) == ([FIRST, THIRD], [])
