"""Which of two versions of a candle is better proven: the one that is stored, or the one that an import has made."""

from collections.abc import Iterable

from msgspec import structs

from flows.bounds import ANY_VENUE, VenueRules
from flows.model import BELIEVED, COMPLETE, IDS, LIVE, UNVOUCHED, Candle, CandleStatus, Origin, evidence
from flows.operators.candles.compare import differing_fields, is_known_difference, may_hold

CLOSED: tuple[CandleStatus, ...] = ("final", "repaired", "venue", "partial", "unproven")
"""Statuses of closed candles: any of them may be replaced by a better version."""
UPGRADABLE = ("partial", "venue")
"""Those of candles that are made of some of the trades, or of none."""


def improved(
    candle: Candle,
    stored: Candle,
    *,
    origin: Origin = UNVOUCHED,
    stored_origin: Origin = LIVE,
    rules: VenueRules = ANY_VENUE,
) -> Candle:
    """Which version to write when one is already stored: the next revision of that, when it is better
    proven; the stored one with its proof, when both are equal and only the new one is proven; in all other cases the
    candle as it is, and the stored one stays.

    * Of two with other values, more evidence wins (`Evidence`), and one with less changes nothing. What follows is
      for as much of it.
    * All trades are better than some of them, or than a doubt, and get status `repaired` where that changes something.
      Where they are the same ones with other values, the doubt stays until something proves or vouches for them.
    * The exchange's version stands: where the trades differ from a stored candle that is proven, that stays. It takes
      the place of what is not proven.
    * Of two that have all trades and no proof, the one wins for which a checksum vouches, or else that which holds
      those of the other one and more.
    * A candle that lacks trades marks a stored one that is not proven and has no more of them.
    * Whatever else is decided, what no kline states comes from the trades alone, ids first of all: it is that of the
      new trades where they are vouched for, as they are stored from then on, and that of the stored one otherwise.
    """
    fields = _fields_of_trades(candle, stored, rules)
    if not fields:
        return _improved(candle, stored, origin, stored_origin, rules)
    if origin.has_vouched_trades and not _are_stated(fields, stored, stored_origin, rules):
        return _corrected(
            candle, stored, fields, _improved(candle, _with(stored, candle, fields), origin, stored_origin, rules)
        )
    if stored.status == "unproven" and not candle.proof:
        return candle  # which of the two is right is the doubt
    kept = _with(candle, stored, fields)
    version = _improved(kept, stored, origin, stored_origin, rules)
    return candle if version is kept else version


def _improved(candle: Candle, stored: Candle, origin: Origin, stored_origin: Origin, rules: VenueRules) -> Candle:
    does_agree = _agree(candle, stored, rules)
    if does_agree and _is_complete_or_venue(candle) and stored.status in BELIEVED and not stored.proof:
        proof = "equal" if candle.status == "venue" else candle.proof
        if proof:
            status = stored.status if stored.status in COMPLETE else "final"
            return structs.replace(stored, proof=proof, status=status, event_time=candle.event_time)
    gain = evidence(candle, origin) - evidence(stored, stored_origin)
    is_vouched = origin.klines != "file" if candle.status == "venue" else origin.has_vouched_trades
    if not _is_better(candle, stored, does_agree=does_agree, gain=gain, is_vouched=is_vouched):
        return candle
    status = candle.status
    if status in COMPLETE and (stored.status in UPGRADABLE or not does_agree):
        status = "repaired"
    return structs.replace(candle, status=status, revision=stored.revision + 1 + candle.revision)


def _fields_of_trades(candle: Candle, stored: Candle, rules: VenueRules) -> list[str]:
    """What differs between two versions that both have all trades, if it is nothing that a kline proves."""
    if candle.status not in COMPLETE or stored.status not in BELIEVED:
        return []
    fields = differing_fields(candle, stored)
    return fields if rules.incomparable_fields.union(IDS).issuperset(fields) else []


def _are_stated(fields: Iterable[str], stored: Candle, origin: Origin, rules: VenueRules) -> bool:
    """Whether the proof of a stored candle is that of a kline which states these fields too: the stream's."""
    is_of_stream = bool(stored.proof) and origin.klines == "exchange" and rules.klines_have_ids
    return is_of_stream and rules.incomparable_fields.isdisjoint(fields)


def _with(candle: Candle, other: Candle, fields: Iterable[str]) -> Candle:
    """A candle with these fields of another one."""
    return structs.replace(candle, **{name: getattr(other, name) for name in fields})


def _corrected(candle: Candle, stored: Candle, fields: Iterable[str], version: Candle) -> Candle:
    """The next revision of a stored candle, with these fields of the new one. `version` is what is decided of the rest:
    the new one itself where the stored one stays.
    """
    base = _with(stored, candle, fields) if version is candle else version
    status = "repaired" if base.status in COMPLETE else base.status
    revision = stored.revision + 1 + candle.revision
    return structs.replace(base, status=status, revision=revision, event_time=candle.event_time)


def _agree(candle: Candle, stored: Candle, rules: VenueRules) -> bool:
    fields = differing_fields(candle, stored)
    return not fields or is_known_difference(rules, fields)


def _is_complete_or_venue(candle: Candle) -> bool:
    return candle.status == "venue" or candle.status in COMPLETE


def contradicts(candle: Candle, stored: Candle, *, rules: VenueRules = ANY_VENUE) -> bool:
    """Whether a candle says something else than a stored one that claims to be right: where both do, or where it has
    some of the trades and they are none of that one's.
    """
    if not _is_complete_or_venue(stored) or _agree(candle, stored, rules):
        return False
    return _is_complete_or_venue(candle) or (candle.status == "partial" and not may_hold(stored, candle, rules))


def _is_better(candle: Candle, stored: Candle, *, does_agree: bool, gain: int, is_vouched: bool) -> bool:
    """`gain` is how much more evidence the candle has than the stored one."""
    is_claim = _is_complete_or_venue(candle)
    if gain < 0 and not (is_claim and does_agree):
        return False
    if is_claim:
        is_gain = gain > 0 and not does_agree
        return is_gain or _is_better_claim(candle, stored, does_agree=does_agree, is_vouched=is_vouched)
    if stored.proof or stored.status == "venue":
        return False
    if candle.status == "unproven":
        return _is_better_unproven(candle, stored, does_agree=does_agree)
    return stored.status in BELIEVED and stored.trades <= candle.trades


def _is_better_claim(candle: Candle, stored: Candle, *, does_agree: bool, is_vouched: bool) -> bool:
    """Whether one that has all trades, or is the exchange's, is better than a stored one of as much evidence."""
    if candle.status == "venue":
        is_proven = bool(stored.proof) or stored.status == "venue"
        return not is_proven or (is_vouched and stored.status == "venue" and not does_agree)
    if stored.status == "venue":
        return bool(candle.proof) or does_agree
    if stored.status in COMPLETE:
        return not (does_agree or stored.proof) and (is_vouched or _holds(candle, stored))
    is_certain = does_agree or bool(candle.proof) or is_vouched
    return is_certain or stored.status != "unproven" or not _has_same_trades(candle, stored)


def _is_better_unproven(candle: Candle, stored: Candle, *, does_agree: bool) -> bool:
    """With more trades; or where the doubt is newer than the belief: an amendment of a complete candle."""
    if stored.status in COMPLETE:
        return candle.revision > 0 and does_agree
    return candle.trades > stored.trades


def _has_same_trades(candle: Candle, stored: Candle) -> bool:
    """Whether two candles are made of the trades of the same ids."""
    return all(getattr(candle, name) == getattr(stored, name) for name in (*IDS, "trades"))


def _holds(candle: Candle, stored: Candle) -> bool:
    """Whether a candle has the trades of the other one, and more."""
    if not stored.trades:
        return candle.trades > 0
    spans = 0 <= candle.first_id <= stored.first_id and stored.last_id <= candle.last_id
    return spans and candle.trades > stored.trades
