"""Consistency of the fields of a single stored candle."""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from msgspec import Struct

from flows.bounds import VenueRules
from flows.model import BOUGHT, COMPLETE, TRADED, VOLUMES, Candle, timeframe_ms
from flows.operators.candles.bucket import NO_ID
from flows.operators.candles.compare import ULPS, is_known_difference, is_same, quote_volume_slack
from flows.texts import counted
from flows.verification.checks.findings import Kind

PROOFS: Final[Mapping[str, frozenset[str]]] = {
    "forming": frozenset(("",)),
    "final": frozenset(("", "equal", "theirs wrong", "not comparable")),
    "repaired": frozenset(("", "equal", "theirs wrong", "not comparable")),
    "venue": frozenset(("", "ours wrong", "exchange's own")),
    "partial": frozenset(("", "ours wrong")),
    "unproven": frozenset(("",)),
}
"""The valid proofs of each status."""


class StoredCandle(Struct, frozen=True):
    """A candle as stored; `fault` lists invalid fields, which are zeros in `candle`."""

    candle: Candle
    close_time: int
    fault: str = ""


Contradiction: TypeAlias = tuple[Kind, str, str]
"""Kind, what is claimed, what is true."""


def contradictions(stored: StoredCandle, rules: VenueRules) -> Iterator[Contradiction]:
    """Contradictions of its time, status, proof and revision."""
    if stored.fault:
        yield "candle", stored.fault, "a number of its kind, or a word"
        return
    candle, length = stored.candle, timeframe_ms(stored.candle.timeframe)
    if candle.open_time % length:
        yield "candle", f"open_time {candle.open_time}", f"periods of {candle.timeframe} begin at whole ones of UTC"
    if stored.close_time != candle.open_time + length - 1:
        yield "candle", f"close_time {stored.close_time}", f"{candle.open_time + length - 1}"
    yield from _standing(candle, rules)


def impossible_numbers(candle: Candle, rules: VenueRules) -> Iterator[Contradiction]:
    """Contradictions of its prices, volumes, counts and ids."""
    if not 0 < candle.low <= min(candle.open, candle.close):
        yield "candle", f"low {candle.low}", f"open {candle.open} and close {candle.close} are not below it"
    if candle.high < max(candle.open, candle.close):
        yield "candle", f"high {candle.high}", f"open {candle.open} and close {candle.close} are not above it"
    for part, whole in zip(BOUGHT, TRADED, strict=True):
        of, most = getattr(candle, part), getattr(candle, whole)
        if of < 0 or (of > most and not is_same(of, most)):
            yield "candle", f"{part} {of}", f"a part of {whole} {most}"
    if candle.is_closed:
        yield from _counted(candle, rules)


def _standing(candle: Candle, rules: VenueRules) -> Iterator[Contradiction]:
    """Status, proof and revision."""
    proofs = PROOFS.get(candle.status)
    if proofs is None:
        yield "status", f"status {candle.status!r:.40}", f"one of {', '.join(PROOFS)}"
        return
    if candle.proof not in proofs:
        allowed = " or ".join(sorted(map(repr, proofs)))
        yield "status", f"proof {candle.proof!r:.40}", f"a candle that is {candle.status} may have {allowed}"
    if candle.proof == "not comparable" and not is_known_difference(rules, ("trades",)):
        yield "status", "proof 'not comparable'", f"everything is comparable at {candle.venue}"
    if candle.is_closed and candle.status == "forming":
        yield "status", "status 'forming'", "it is closed"
    if not candle.is_closed and candle.status not in ("forming", "partial"):
        yield "status", f"status {candle.status!r}", "it is not closed"
    if candle.revision < 0 or (candle.revision and not candle.is_closed):
        yield "status", f"revision {candle.revision}", "0 for the first closed version, and one more for each amendment"


def _counted(candle: Candle, rules: VenueRules) -> Iterator[Contradiction]:
    """The number of trades, their ids and their volumes fit together."""
    if candle.trades < (-1 if candle.status == "venue" else 0):
        yield "candle", f"trades {candle.trades}", "a number of trades"
    elif candle.trades <= 0:
        if not (candle.status == "venue" and candle.volume):  # not every history has the number of trades
            yield from _flat(candle)
    elif candle.volume <= 0 or candle.quote_volume + quote_volume_slack(candle) <= 0:
        yield "candle", f"volume {candle.volume}", f"{counted(candle.trades, 'trade has', 'trades have')} one"
    elif not _is_average_inside(candle):
        yield "candle", f"quote_volume {candle.quote_volume}", f"volume {candle.volume} at prices from low to high"
    elif candle.status in COMPLETE or not candle.first_id == candle.last_id == NO_ID:
        yield from _spanned(candle, rules)


def _spanned(candle: Candle, rules: VenueRules) -> Iterator[Contradiction]:
    spanned = candle.last_id - candle.first_id + 1
    if candle.first_id < 0 or spanned <= 0 or candle.trades > spanned:
        yield "candle", f"trades {candle.trades}", f"ids {candle.first_id} to {candle.last_id} are {spanned}"
    elif rules.fills_follow and candle.status in (*COMPLETE, "venue") and candle.trades != spanned:
        yield (
            "candle",
            f"trades {candle.trades}",
            f"every trade by id: {candle.first_id} to {candle.last_id}, {spanned}",
        )


def _flat(candle: Candle) -> Iterator[Contradiction]:
    for name in VOLUMES:
        if value := getattr(candle, name):
            yield "candle", f"{name} {value}", "0.0 without a trade"
    if candle.first_id != NO_ID or candle.last_id != NO_ID:
        yield "candle", f"first_id {candle.first_id}, last_id {candle.last_id}", "-1 without a trade"
    if not candle.open == candle.high == candle.low == candle.close:
        yield (
            "candle",
            f"open {candle.open}, high {candle.high}, low {candle.low}, close {candle.close}",
            "all the same",
        )


def _is_average_inside(candle: Candle) -> bool:
    """Whether the average price is between low and high, except for rounding to printed digits."""
    slack = 1e-8 * (1 + candle.high) + ULPS * 2**-40 * candle.quote_volume + quote_volume_slack(candle)
    return candle.low * candle.volume - slack <= candle.quote_volume <= candle.high * candle.volume + slack
