"""Candles and incidents as TradingView's protocol UDF has them: bars in columns, and marks. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from api.http.errors import Problem
from api.udf.messages import Bars, History, Marks, NoBars, TimescaleMark
from flows.model import DOUBTFUL, Candle, Incident
from sinks.hub.payloads import iso_utc

RESOLUTIONS: Final = {"1": "1m", "5": "5m", "15": "15m", "60": "1h", "240": "4h", "1D": "1d"}
"""Timeframes by the names of the protocol: minutes, or days."""
MARKS_MOST: Final = 500
MARKS_A_BAR: Final = 10
"""More marks of one bar are not drawn by the charts."""
MARK_PX: Final = 14
_OTHER_NAMES: Final = {"D": "1D", "1440": "1D"}
_ALARMS: Final = ("gap", "mismatch", "partial", "reject", "store_outage", "error")


class Mark(NamedTuple):
    """A remark on a bar: an incident, or what is known of the candle."""

    id: str
    time_s: int
    """Begin of the bar."""
    color: str
    text: str
    label: str
    """One letter."""


def timeframe_of(resolution: str) -> str:
    """The timeframe of a resolution; `Problem` for one that is not supported."""
    known = RESOLUTIONS.get(_OTHER_NAMES.get(resolution.upper(), resolution.upper()))
    if known is None:
        raise Problem("bad_request", f"the resolution {resolution!r} is none of {', '.join(RESOLUTIONS)}")
    return known


def history_of(candles: Sequence[Candle], *, next_ms: int | None = None) -> History:
    """The bars of candles, oldest first; without any, where older ones end, if there are some."""
    if not candles:
        return NoBars(None if next_ms is None else next_ms // 1_000)
    return Bars(
        [candle.open_time // 1_000 for candle in candles],
        [candle.open for candle in candles],
        [candle.high for candle in candles],
        [candle.low for candle in candles],
        [candle.close for candle in candles],
        [candle.volume for candle in candles],
    )


def marks_of(incidents: Iterable[tuple[str, Incident]], candles: Iterable[Candle], *, length_ms: int) -> list[Mark]:
    """The marks of bars of this length, by time, at most `MARKS_A_BAR` of each and `MARKS_MOST` of all."""
    marks = [_of_incident(identity, incident, length_ms) for identity, incident in incidents]
    marks += [mark for candle in candles if (mark := _of_candle(candle))]
    marks.sort(key=lambda mark: (mark.time_s, mark.id))
    counts: Counter[int] = Counter()
    shown = []
    for mark in marks:
        counts[mark.time_s] += 1
        if counts[mark.time_s] <= MARKS_A_BAR:
            shown.append(mark)
    return shown[-MARKS_MOST:]


def _of_incident(identity: str, incident: Incident, length_ms: int) -> Mark:
    begin_s = incident.begin // length_ms * length_ms // 1_000
    until = f" to {_clock(incident.end)}" if incident.end > incident.begin else ""
    outcome = f": {incident.outcome}" if incident.outcome else ""
    text = f"{incident.kind} {_clock(incident.begin)}{until}: {incident.cause}{outcome}"
    color = "red" if incident.kind in _ALARMS else "yellow"
    return Mark(identity, begin_s, color, text, incident.kind[0].upper())


def _of_candle(candle: Candle) -> Mark | None:
    place = f"{candle.venue}:{candle.symbol}:{candle.timeframe}:{candle.open_time}"
    time_s = candle.open_time // 1_000
    if candle.is_closed and candle.status in DOUBTFUL:
        return Mark(f"{place}:{candle.status}", time_s, "red", f"the candle is {candle.status}", "?")
    if candle.is_closed and candle.revision:
        text = f"revision {candle.revision}, {candle.status}"
        return Mark(f"{place}:{candle.revision}", time_s, "blue", text, "R")
    return None


def _clock(time_ms: int) -> str:
    return iso_utc(time_ms)[11:19]


def columns_of(marks: Sequence[Mark]) -> Marks:
    """Marks on bars, in columns."""
    return Marks(
        [mark.id for mark in marks],
        [mark.time_s for mark in marks],
        [mark.color for mark in marks],
        [mark.text for mark in marks],
        [mark.label for mark in marks],
        ["white" if mark.color != "yellow" else "black" for mark in marks],
        [MARK_PX] * len(marks),
    )


def timescale_marks_of(marks: Sequence[Mark]) -> list[TimescaleMark]:
    """Marks below the time scale."""
    return [TimescaleMark(mark.id, mark.color, mark.label, mark.time_s, [mark.text]) for mark in marks]
