"""Stored trades that do not make the exchange's candle which has taken the place of ours.

The exchange's word stands, so it is the trades that are wrong or lack: they are what such a candle shows. Which of its
fields prove that, the rules of the venue say.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from flows.bounds import VenueRules
from flows.model import IDS, Candle
from flows.operators.candles.compare import is_known_difference
from flows.queries import DisputedTradesQuery
from flows.verification.checks.findings import Finding
from flows.verification.checks.ledger import Ledger
from flows.verification.checks.trade_ids import IdGap

STORED = "stored trades:"


class RefutedTrades:
    """The periods of one day whose stored trades the exchange's candle contradicts, the shortest timeframe first."""

    def __init__(self, rules: VenueRules, ledger: Ledger) -> None:
        self._rules = rules
        self._ledger = ledger
        self._wrong: list[int] = []
        self._lacking: list[int] = []
        """Open times in order: of periods with wrong trades, and of those with a named gap."""
        self.queries: list[DisputedTradesQuery] = []
        """For the exchange's trades of the wrong ones, as far as ids of them are known."""

    def has_inside(self, candle: Candle) -> bool:
        """Whether trades of a shorter period inside a candle are known to be wrong: they prove nothing about it."""
        return _is_between(self._wrong, candle)

    def proves(self, fields: Sequence[str]) -> bool:
        """Whether a difference in these fields proves that trades are wrong. Fields that klines and trades of the venue
        count differently by design do not.
        """
        return bool(fields) and not is_known_difference(self._rules, fields)

    def wrong(self, candle: Candle, made: Candle | None, fields: Sequence[str]) -> Iterator[Finding]:
        """The finding about the stored trades `made`, which differ from the exchange's candle in these fields; a known
        loss where the ledger names them.
        """
        insort(self._wrong, candle.open_time)
        named = [one for one in (candle, made) if one is not None and one.first_id >= 0]
        first = min((one.first_id for one in named), default=-1)
        last = max((one.last_id for one in named), default=-1)
        true = f"{_difference(candle, made)}: {_shown(candle, fields)} at the exchange"
        claimed = f"{STORED} {_shown(made, fields)}" if made is not None else f"{STORED} none"
        if named:
            times = candle.open_time, candle.close_time
            self.queries.append(DisputedTradesQuery(candle.symbol, first, last, *times))
        if named and self._ledger.names(first, last):
            yield _finding("loss", candle, claimed, f"{true}; the ledger names them")
        else:
            yield _finding("refuted", candle, claimed, true)

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
            f"trades incomplete: {missing} ids missing, which the ledger names; trades {candle.trades} at the exchange"
        )
        yield _finding("loss", candle, f"{STORED} {stored}", true)


def _is_between(open_times: Sequence[int], candle: Candle) -> bool:
    place = bisect_left(open_times, candle.open_time)
    return place < len(open_times) and open_times[place] <= candle.close_time


def _difference(candle: Candle, made: Candle | None) -> str:
    by = candle.trades - (0 if made is None else made.trades)
    if by > 0:
        return f"trades incomplete, {by} too few"
    return f"trades wrong, {-by} too many" if by else "trades wrong, totals differ"


def _shown(candle: Candle, fields: Sequence[str]) -> str:
    return ", ".join(f"{name} {getattr(candle, name)}" for name in fields)


def _finding(kind: str, candle: Candle, claimed: str, true: str) -> Finding:
    return Finding(kind, candle.symbol, candle.timeframe, candle.open_time, claimed, true)  # type: ignore[arg-type]
