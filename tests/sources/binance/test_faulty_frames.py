"""The law of isolation, fault by fault: wrong frames beside the true ones change nothing, from the first minute on."""

from functools import cache

import pytest

from sources.replay.faults.content_faults import (
    AlteringFault,
    BadBytes,
    Foreign,
    Huge,
    Malformed,
    Nested,
    OddFrame,
    WrongBook,
    WrongId,
    WrongTime,
    WrongValue,
)
from tests.fakes.examples import alternating
from tests.fakes.fuzzed_flow import faulty_flow
from tests.fakes.true_tape import TrueTape

SECONDS = 65
"""A whole minute, and its closed klines."""
TRADES_PER_S = 5.0
"""Of a symbol: several times as many as any fault waits for and changes."""
HOUR_MS, DAY_MS, YEAR_MS = 3_600_000, 86_400_000, 365 * 86_400_000
TRADES = "*rade"
TRADE_IDS = ("a", "f", "l", "t")

FAULTS: list[AlteringFault] = [
    *(Malformed(form=form, insert=True, after=500, count=20) for form in ("cut", "text", "nan")),
    *(
        WrongTime(by_ms=by_ms, stream=stream, insert=True, after=500, count=count)
        for by_ms in (6_000, HOUR_MS, DAY_MS, 1_000 * YEAR_MS, -2 * DAY_MS)
        for stream, count in (("*", 1), (TRADES, 19), ("*", 200))
    ),
    *(
        WrongId(fields=TRADE_IDS, by=by, stream=TRADES, insert=True, after=300, count=count)
        for by in (10**9, 2**53, -(2**53))
        for count in (1, 10)
    ),
    *(WrongId(fields=fields, by=2**53, insert=True, after=10, count=3) for fields in (("k.f", "k.L"), ("L",), ("u",))),
    *(
        WrongValue(field=field, text=text, stream=TRADES, insert=True, after=300, count=10)
        for field in ("p", "q")
        for text in ("-1", "0", "1e400", "NaN", "9" * 50)
    ),
    *(WrongValue(field="k.h", text=text, insert=True, after=5, count=3) for text in ("-1", "0", "1e400")),
    *(BadBytes(where=where, insert=True, after=500, count=20) for where in ("stream", "value", "begin", "end")),
    *(
        Foreign(symbol=symbol, after=500, messages=50, count=3)
        for symbol in ("X{n}USDT", "<img src=x onerror=alert(1)>", "../../x", "")
    ),
    Foreign(symbol="ETHUSDT", rewrites="payload", stream="btcusdt@*", after=300, count=20),
    Foreign(symbol="ETHUSDT", rewrites="stream", stream="btcusdt@*", after=300, count=20),
    *(Nested(form=form, insert=True, after=500, count=3) for form in ("arrays", "envelopes", "payload")),
    Huge(megabytes=1, insert=True, after=500, count=3),
    OddFrame(form="empty", insert=True, after=500, count=5),
    OddFrame(form="number", insert=True, after=500, count=5),
    OddFrame(form="null", insert=True, after=500, count=5),
    OddFrame(form="string", insert=True, after=500, count=5),
    OddFrame(form="list", insert=True, after=500, count=5),
    OddFrame(form="object", insert=True, after=500, count=5),
    OddFrame(form="two", insert=True, after=500, count=5),
    WrongBook(form="crossed", insert=True, after=20, count=3),
    WrongBook(form="negative", insert=True, after=20, count=3),
    WrongBook(form="huge", insert=True, after=20, count=3),
    WrongBook(form="many", insert=True, after=20, count=3),
    WrongBook(form="jump", insert=True, after=20, count=3),
    WrongBook(form="reversed", insert=True, after=20, count=3),
]


@cache
def tape_of(venue: str) -> TrueTape:
    return TrueTape(venue, seconds=SECONDS, trades_per_s=TRADES_PER_S)


def _name(fault: AlteringFault | str) -> str:
    if isinstance(fault, str):
        return fault
    parts = [str(getattr(fault, name, "")) for name in ("form", "by_ms", "by", "field", "text", "where", "symbol")]
    return "-".join([type(fault).__name__, *(part[:12] for part in parts if part), str(fault.count)])


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "venue"), alternating(FAULTS, ["binance", "binance-usdm"]), ids=_name)
def test_wrong_frames_beside_the_true_ones_change_no_candle_and_no_book(fault: AlteringFault, venue: str) -> None:
    report = faulty_flow(tape_of(venue), fault)
    assert report.frames > 0
    assert not report.findings, str(report)
