"""The versions of a candle that a comparison can end with, and the incident that names both."""

from math import isnan
from typing import TypeAlias

from msgspec import structs

from flows.model import (
    VOLUMES,
    Candle,
    CandleStatus,
    Incident,
    IncidentKind,
    Kline,
    Reconciliation,
    StoreOnly,
)

LACKING: frozenset[CandleStatus] = frozenset(("partial", "unproven"))
"""Statuses of closed candles that may lack trades."""

Published: TypeAlias = Candle | StoreOnly | Incident
"""What leaves when the version of a candle that is served changes, or its proof."""


def candle_of_kline(venue: str, kline: Kline) -> Candle:
    """The exchange's version as a candle: with its ids, or with none, and never with those of our trades."""
    return Candle(
        *kline.figures,
        venue=venue,
        symbol=kline.symbol,
        timeframe=kline.timeframe,
        is_closed=True,
        status="venue",
        event_time=kline.event_time,
    )


def confirmed(candle: Candle) -> Candle:
    """The candle when the exchange's kline is equal in every field: complete, although it was not known to be."""
    return structs.replace(candle, status="final") if candle.status in LACKING else candle


def proven(candle: Candle, proof: Reconciliation) -> StoreOnly:
    """The candle with its proof. That alone changes nothing for clients, so it goes to the store only."""
    return StoreOnly(structs.replace(candle, proof=proof))


def is_unchanged(candle: Candle, other: Candle) -> bool:
    """Whether two candles say the same: a value that the venue does not report (NaN) is the same in both."""
    return candle == other or structs.astuple(structs.replace(candle, **_reported(candle))) == structs.astuple(
        structs.replace(other, **_reported(other))
    )


def _reported(candle: Candle) -> dict[str, float]:
    return dict.fromkeys((name for name in VOLUMES if isnan(getattr(candle, name))), -1.0)


def candle_in(item: object) -> Candle | None:
    """The candle of an output, for clients or for the store alone; None in other outputs."""
    if type(item) is StoreOnly:
        return item.candle
    return item if type(item) is Candle else None


def candle_incident(kind: IncidentKind, candle: Candle, cause: str, outcome: str) -> Incident:
    """An incident over the period and the ids of a candle."""
    return Incident(
        kind,
        candle.venue,
        candle.symbol,
        candle.open_time,
        candle.close_time,
        cause,
        outcome,
        candle.first_id,
        candle.last_id,
    )
