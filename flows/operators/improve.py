"""Which of two versions of a candle knows more: the one that is stored, or the one that an import has made."""

from msgspec import structs

from flows.model import Candle
from flows.operators.verdict import differ_by_design, differing_fields

LACKING = ("partial", "venue")
"""Statuses of closed candles that something better may take the place of: made of some trades, or of none."""


def improved(candle: Candle, stored: Candle) -> Candle:
    """The version to write of a candle whose stored version is of `LACKING`: the next revision of that, with status
    `repaired`, when all its trades are known now; or with status `venue`, when the exchange's own takes the place of a
    partial one. In all other cases the candle as it is, which the store then refuses.

    The exchange's word stands: where the trades say something else than a stored `venue`, and nothing has confirmed
    them, that stays.
    """
    if candle.status in ("partial", stored.status):
        return candle
    if stored.status == "venue" and not (candle.proof or _agree(candle, stored)):
        return candle
    status = "venue" if candle.status == "venue" else "repaired"
    return structs.replace(candle, status=status, revision=stored.revision + 1 + candle.revision)


def _agree(candle: Candle, stored: Candle) -> bool:
    fields = differing_fields(candle, stored)
    return not fields or differ_by_design(candle.venue, fields)
