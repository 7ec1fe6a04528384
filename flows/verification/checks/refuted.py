"""Stored trades that do not make a candle which the exchange has confirmed, or which is its own.

The exchange's word stands, so it is the trades that are wrong or lack: they are what such a candle shows. Which of its
fields prove that, the rules of the venue say. Where the exchange's candle is at hand, it decides between the two.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct, structs

from flows.bounds import VenueRules
from flows.model import COMPLETE, IDS, Candle, Kline
from flows.operators.candles.compare import differing_fields, has_traded, is_known_difference
from flows.operators.candles.versions import candle_of_kline
from flows.operators.trades.gaps import QUERY_TRADES
from flows.queries import DisputedTradesQuery
from flows.texts import counted
from flows.verification.checks.claims import impossible_numbers
from flows.verification.checks.findings import Finding
from flows.verification.checks.ledger import Ledger
from flows.verification.checks.outvoted import Outvoted
from flows.verification.checks.trade_ids import IdGap

STORED = "stored trades:"
Verdict: TypeAlias = Literal["trades", "candle", "neither"]
"""What is false where the two differ, as far as that is certain."""


class Refutation(Struct, frozen=True):
    """A period whose stored trades are false."""

    query: DisputedTradesQuery
    """For the exchange's trades of the period."""
    truth: Candle | Kline
    """The candle that they make."""
    is_confirmed: bool
    """Whether the exchange was asked for its candle of the period, and says so."""


class RefutedTrades:
    """The periods of one day whose stored trades the exchange's candle contradicts, the shortest timeframe first."""

    def __init__(
        self,
        rules: VenueRules,
        ledger: Ledger,
        outvoted: Outvoted,
        theirs: Mapping[str, Mapping[int, Kline]],
        doubtful: Sequence[int] = (),
    ) -> None:
        """`theirs` are the exchange's candles by timeframe and open time, as far as they are known; `doubtful` times
        of trades that may be false.
        """
        self._rules = rules
        self._ledger = ledger
        self._outvoted = outvoted
        self._theirs = theirs
        self._wrong: list[int] = []
        self._doubtful = sorted(doubtful)
        self._lacking: list[int] = []
        """Open times in order: of periods with wrong trades, and of those with a named gap."""
        self.found: list[Refutation] = []
        """The wrong ones, as far as ids of them are known."""

    def has_inside(self, candle: Candle) -> bool:
        """Whether trades of a shorter period inside a candle are known to be wrong: they prove nothing about it."""
        return _is_between(self._wrong, candle)

    def is_doubtful(self, candle: Candle) -> bool:
        """Whether trades in a candle's period may be false: they prove neither that it is wrong, nor what is right."""
        return _is_between(self._doubtful, candle)

    def proves(self, fields: Sequence[str]) -> bool:
        """Whether a difference in these fields proves that trades are wrong. Fields that klines and trades of the venue
        count differently by design do not.
        """
        return bool(fields) and not is_known_difference(self._rules, fields)

    def verdict(self, candle: Candle, made: Candle | None, fields: Sequence[str], *, is_whole: bool) -> Verdict:
        """What is false where a candle differs in these fields from the stored trades `made`; None without any.
        `is_whole` when these are all by their ids, and not only some of the period's.
        """
        kline = self._kline_of(candle)
        if kline is not None and is_whole and _makes(made, kline):
            return "candle"
        if kline is None and self.is_doubtful(candle) and not self._is_witness(candle):
            return "neither"
        is_confirmed = kline is not None and not differing_fields(candle, kline)
        is_denied = kline is not None and is_whole and made is not None and self.proves(differing_fields(made, kline))
        if is_confirmed or is_denied or self._is_witness(candle):
            return "trades" if self.proves(fields) else "neither"
        return "neither" if candle.proof and is_known_difference(self._rules, fields) else "candle"

    def corrected(self, candle: Candle | None, made: Candle) -> Candle | None:
        """What is to be written in the place of a wrong candle, or of none, whose trades are all stored; None where
        these do not prove it. A candle that the exchange has confirmed, or that is its own, gives way to nothing else
        than the exchange's word.
        """
        kline = self._kline_of(made)
        if kline is not None and _makes(made, kline):
            return structs.replace(made, proof="equal")
        if kline is None and candle is not None and self._outvoted.has_no_ground(candle):
            return None
        if (
            self.has_inside(made)
            or self.is_doubtful(made)
            or (kline is not None and self.proves(differing_fields(made, kline)))
        ):
            return None
        if candle is None or candle.proof != "equal":
            return None if candle is not None and candle.status == "venue" else made
        if not differing_fields(made, candle):
            return structs.replace(made, proof="equal")
        return None if self._is_proven(candle) else made

    def _kline_of(self, candle: Candle) -> Kline | None:
        if candle.proof == "theirs wrong" and not self._outvoted.has_no_ground(candle):
            return None
        return self._theirs.get(candle.timeframe, {}).get(candle.open_time)

    def denied(self, candle: Candle, made: Candle) -> Iterator[Finding]:
        """The finding about stored trades that make a candle which claims, without ground, that the exchange's is
        wrong.
        """
        kline = self._kline_of(candle)
        if kline is None or not self._outvoted.has_no_ground(candle):
            return
        fields = differing_fields(made, kline)
        if self.proves(fields):
            yield from self.wrong(candle_of_kline(candle.venue, kline), made, fields)

    def _is_witness(self, candle: Candle) -> bool:
        """Whether a candle is the exchange's own, or was confirmed by it."""
        return candle.status == "venue" or self._is_proven(candle)

    def _is_proven(self, candle: Candle) -> bool:
        """Whether the exchange had said the same. Numbers that cannot be true together are not what it has said."""
        is_equal = candle.proof == "equal" and candle.status in COMPLETE
        return is_equal and next(impossible_numbers(candle, self._rules), None) is None

    def wrong(self, candle: Candle, made: Candle | None, fields: Sequence[str]) -> Iterator[Finding]:
        """The finding about the stored trades `made`, which differ from the exchange's candle in these fields; a known
        loss where the ledger names them.
        """
        insort(self._wrong, candle.open_time)
        named = [one for one in (candle, made) if one is not None and one.first_id >= 0]
        first, last = _ids_of(candle, named)
        true = f"{_difference(candle, made)}: {_shown(candle, fields)} at the exchange"
        claimed = f"{STORED} {_shown(made, fields)}" if made is not None else f"{STORED} none"
        if named:
            self.found.append(self._refutation(candle, first, last))
        if named and self._ledger.names(first, last):
            yield _finding("loss", candle, claimed, f"{true}; the ledger names them")
        else:
            yield _finding("refuted", candle, claimed, true)

    def _refutation(self, candle: Candle, first: int, last: int) -> Refutation:
        query = DisputedTradesQuery(candle.symbol, first, last, candle.open_time, candle.close_time)
        kline = self._kline_of(candle)
        is_the_same = kline is not None and not differing_fields(candle, kline)
        return Refutation(query, candle if is_the_same or kline is None else kline, kline is not None)

    def lacking(self, candle: Candle, made: Candle | None, gaps: Sequence[IdGap]) -> Iterator[Finding]:
        """A known loss: the exchange's candle of a period with gaps that the ledger names. Once for the shortest
        period; gaps that it does not name are findings of their own.
        """
        named = [gap for gap in gaps if self._ledger.names_gap(gap)]
        if len(named) < len(gaps) or _is_between(self._lacking, candle):
            return
        insort(self._lacking, candle.open_time)
        missing = sum(gap.last - gap.first + 1 for gap in gaps)
        stored = "none" if made is None else _shown(made, ("trades", *IDS))
        true = (
            f"trades incomplete: {counted(missing, 'id')} missing, which the ledger names; "
            f"trades {candle.trades} at the exchange"
        )
        yield _finding("loss", candle, f"{STORED} {stored}", true)


def _makes(made: Candle | None, kline: Kline) -> bool:
    """Whether trades make the exchange's candle; None without any trade."""
    return not has_traded(kline) if made is None else not differing_fields(made, kline)


def _ids_of(candle: Candle, named: Sequence[Candle]) -> tuple[int, int]:
    """First and last id of the candle and of the stored trades, of those in `named`. A false id far away is not to be
    the reason to ask for all between.
    """
    first = min((one.first_id for one in named), default=-1)
    last = max((one.last_id for one in named), default=-1)
    if candle.first_id >= 0:
        first = first if candle.first_id - first <= QUERY_TRADES else candle.first_id
        last = last if last - candle.last_id <= QUERY_TRADES else candle.last_id
    return first, last


def _is_between(open_times: Sequence[int], candle: Candle) -> bool:
    place = bisect_left(open_times, candle.open_time)
    return place < len(open_times) and open_times[place] <= candle.close_time


def _difference(candle: Candle, made: Candle | None) -> str:
    by = candle.trades - (0 if made is None else made.trades) if candle.trades >= 0 else 0  # -1: not stated
    if by > 0:
        return f"trades incomplete, {by} too few"
    return f"trades wrong, {-by} too many" if by else "trades wrong, totals differ"


def _shown(candle: Candle, fields: Sequence[str]) -> str:
    return ", ".join(f"{name} {getattr(candle, name)}" for name in fields)


def _finding(kind: str, candle: Candle, claimed: str, true: str) -> Finding:
    return Finding(kind, candle.symbol, candle.timeframe, candle.open_time, claimed, true)  # type: ignore[arg-type]
