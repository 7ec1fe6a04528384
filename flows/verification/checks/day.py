"""One UTC day of one instrument: its stored candles against its stored trades, and against each other.

What the trades prove depends on their completeness. A period without a gap has every trade by id, so all fields of its
candle are known. In one with a gap the stored trades are a lower bound. In the period of the first stored trade earlier
ones may be missing, in that of the last one later ones: there the candle's own ids decide.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Literal, TypeAlias

from msgspec import Struct

from flows.bounds import VenueRules
from flows.model import COMPLETE, PRICES, VOLUMES, Candle, timeframe_ms
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.compare import differing_fields, falls_below, has_traded
from flows.operators.candles.versions import candle_of_kline
from flows.queries import DisputedTradesQuery
from flows.verification.checks.claims import StoredCandle, contradictions, impossible_numbers
from flows.verification.checks.findings import Finding, Kind, SymbolCounts
from flows.verification.checks.ledger import Ledger
from flows.verification.checks.missing import DayCandles, MissingCandles
from flows.verification.checks.outvoted import Outvoted
from flows.verification.checks.recount import candle_of, merged
from flows.verification.checks.refuted import RefutedTrades
from flows.verification.checks.rollups import rollups
from flows.verification.checks.trade_ids import IdGap

Ground: TypeAlias = Literal["complete", "gap", "begin", "end", "nothing"]
"""Which trades of a period are stored: all; all but those of a gap; perhaps not the first or the last ones; none."""


class DayTrades(Struct, frozen=True):
    """The stored trades of a day."""

    buckets: Sequence[Bucket]
    """Its shortest periods with trades, in the order of time."""
    gaps: Sequence[IdGap] = ()
    """Gaps that touch the day."""
    first_time: int | None = None
    """Time of the instrument's first trade read, ms UTC; None without any."""
    last_time: int = 0
    """Time of the last one."""
    close_before: float | None = None
    """Price of the last trade before the day."""
    doubtful: Sequence[int] = ()
    """Times of trades that may be false: what is made of them proves nothing."""
    since: int | None = None
    """From this time on every trade must be stored, ms UTC; None where nothing says so."""


class Day:
    """Verifies one day of one instrument."""

    def __init__(
        self,
        venue: str,
        symbol: str,
        *,
        begin: int,
        end: int,
        until: int,
        rules: VenueRules,
        trades: DayTrades,
        candles: DayCandles,
        ledger: Ledger,
        counts: SymbolCounts,
    ) -> None:
        """Candles that open in `[begin, end)` and end by `until` are verified, times in ms UTC."""
        self._venue, self.symbol = venue, symbol
        self.begin, self.end, self.until = begin, end, until
        self._rules = rules
        self._trades = trades
        self._candles = candles
        self._ledger = ledger
        self._counts = counts
        self._gaps = sorted(trades.gaps, key=lambda gap: gap.after_time)
        self._gaps_after = [gap.after_time for gap in self._gaps]
        self._gaps_before = list(accumulate((gap.before_time for gap in self._gaps), max))
        self.outvoted = Outvoted(candles.by_timeframe, candles.theirs, ledger, (begin, end))
        self.refuted = RefutedTrades(rules, ledger, self.outvoted, candles.theirs, trades.doubtful)
        self._missing = MissingCandles(self, candles, ledger, counts, trades.last_time)
        self._wrong: set[tuple[str, int]] = set()
        """Candles with findings already."""
        self.recounted: dict[tuple[str, int], Candle] = {}
        """The correct candle by timeframe and open time, where it is known and the stored one differs."""
        self.unheld: list[DisputedTradesQuery] = []
        """For the trades of candles that have none stored, the shortest candles only."""

    def findings(self) -> Iterator[Finding]:
        """All findings, timeframe by timeframe."""
        over: dict[str, list[Candle]] = {}
        for timeframe, stored in self._candles.by_timeframe.items():
            length = timeframe_ms(timeframe)
            ended = [s for s in stored if s.candle.open_time + length <= self.until]
            over[timeframe] = [s.candle for s in ended]
            yield from self._of_timeframe(timeframe, length, ended)
        for candle, claimed, true in rollups(over, self._wrong, self._rules):
            yield self._finding("rollup", candle, claimed, true)

    def _of_timeframe(self, timeframe: str, length: int, stored: list[StoredCandle]) -> Iterator[Finding]:
        buckets = merged(self._trades.buckets, length)
        closes = self._closes(buckets)
        there: set[int] = set()
        for one in stored:
            self._counts.candles += one.candle.is_closed
            there.add(one.candle.open_time)
            yield from self._of_candle(one, length, buckets.get(one.candle.open_time), closes)
        yield from self._missing.findings(timeframe, buckets, there, closes)

    def _closes(self, buckets: Mapping[int, Bucket]) -> list[tuple[int, float]]:
        before = [] if self._trades.close_before is None else [(-1, self._trades.close_before)]
        return [*before, *((bucket.open_time, bucket.close) for bucket in buckets.values())]

    # --- one candle ---

    def _of_candle(
        self, stored: StoredCandle, length: int, bucket: Bucket | None, closes: list[tuple[int, float]]
    ) -> Iterator[Finding]:
        candle = stored.candle
        for kind, claimed, true in contradictions(stored, self._rules):
            yield self._finding(kind, candle, claimed, true)
        made = None if bucket is None else candle_of(bucket, self._venue, self.symbol, candle.timeframe)
        ground = self._ground(candle.open_time, candle.open_time + length)
        if stored.fault:
            self._recount_unreadable(candle, made if ground == "complete" else None)
            return
        if not candle.is_closed:
            yield self._finding("status", candle, "is_closed False", "its period is over")
        yield from self._by_ledger(candle, length)
        if candle.open_time % length:
            return
        by_trades = list(self._by_trades(candle, made, ground, closes))
        yield from by_trades
        if all(finding.kind != "candle" for finding in by_trades):
            for kind, claimed, true in impossible_numbers(candle, self._rules):
                yield self._finding(kind, candle, claimed, true)
        is_wrong = (candle.timeframe, candle.open_time) in self._wrong
        if ground == "complete" and made and is_wrong and (right := self.refuted.corrected(candle, made)):
            self.recounted[candle.timeframe, candle.open_time] = right

    def _recount_unreadable(self, candle: Candle, made: Candle | None) -> None:
        """What takes the place of a document that cannot be read: what all trades of it make, or the exchange's own."""
        if candle.open_time % timeframe_ms(candle.timeframe):
            return
        right = None if made is None else self.refuted.corrected(None, made)
        kline = self._candles.theirs.get(candle.timeframe, {}).get(candle.open_time)
        if right is None and kline is not None:
            right = candle_of_kline(self._venue, kline)
        if right is not None:
            self.recounted[candle.timeframe, candle.open_time] = right

    def _by_ledger(self, candle: Candle, length: int) -> Iterator[Finding]:
        end = candle.open_time + length - 1
        if candle.proof in ("ours wrong", "theirs wrong") and not self._ledger.names_mismatch(candle.open_time, end):
            yield self._finding("status", candle, f"proof {candle.proof!r}", "the ledger names no mismatch")
        elif self.outvoted.has_no_ground(candle):
            true = "no longer candle bears it out: others inside it differ too, or are not known to be equal"
            yield self._finding("status", candle, f"proof {candle.proof!r}", true)
        if candle.status == "repaired" and not (
            candle.revision or self._ledger.explains(candle.open_time, end, ("gap", "repair", "late"))
        ):
            yield self._finding("status", candle, "status 'repaired'", "revision 0, and no incident to be repaired")

    def _ground(self, begin: int, end: int) -> Ground:
        trades = self._trades
        if self._touching(begin, end):
            return "gap"
        if trades.first_time is None or end <= trades.first_time or begin > trades.last_time:
            return "nothing"
        if begin <= trades.first_time:
            return "begin"
        return "end" if end > trades.last_time else "complete"

    def recount(self, timeframe: str, open_time: int, bucket: Bucket) -> None:
        """Notes the candle of a period without one, if every trade of it is known."""
        if self._ground(open_time, open_time + timeframe_ms(timeframe)) == "complete":
            made = candle_of(bucket, self._venue, self.symbol, timeframe)
            if right := self.refuted.corrected(None, made):
                self.recounted[timeframe, open_time] = right

    def _touching(self, begin: int, end: int) -> list[IdGap]:
        """The gaps that touch a period."""
        near = slice(bisect_left(self._gaps_before, begin), bisect_left(self._gaps_after, end))
        return [gap for gap in self._gaps[near] if gap.touches(begin, end)]

    def _by_trades(
        self, candle: Candle, made: Candle | None, ground: Ground, closes: list[tuple[int, float]]
    ) -> Iterator[Finding]:
        if self.refuted.has_inside(candle):
            return
        match ground:
            case "complete":
                yield from self._empty(candle, closes) if made is None else self._complete(candle, made)
            case "gap":
                yield from self._with_gap(candle, made)
            case "begin" | "end" if made is not None:
                yield from self._at_edge(candle, made, ground)
            case "nothing" if self._trades.first_time is not None and candle.open_time > self._trades.last_time:
                yield from self._after_stored(candle)
            case "nothing":
                yield from self._before_stored(candle)

    def _empty(self, candle: Candle, closes: list[tuple[int, float]]) -> Iterator[Finding]:
        """Checks a period without trades: the ids on both sides are consecutive."""
        self._counts.recomputed += 1
        close = next((price for open_time, price in reversed(closes) if open_time < candle.open_time), None)
        if has_traded(candle):
            fields = ["trades", *(name for name in PRICES if close is not None and getattr(candle, name) != close)]
            true = "0: the ids on both sides follow each other"
            yield from self._contradicted(candle, None, fields, f"trades {candle.trades}", true)
            return
        if close is not None and candle.close != close:
            yield self._finding("candle", candle, f"close {candle.close}", f"{close}, the price of the trade before it")
        if candle.status == "partial":
            yield self._finding("status", candle, "status 'partial'", "no trade is missing")

    def _complete(self, candle: Candle, made: Candle) -> Iterator[Finding]:
        """Checks a period with every trade stored."""
        self._counts.recomputed += 1
        fields = differing_fields(made, candle)
        if fields and candle.trades == 0:
            fields = ["trades"]
        if fields:
            yield from self._contradicted(candle, made, fields, _shown(candle, fields), _shown(made, fields))
        else:
            yield from self.refuted.denied(candle, made)
        if candle.status == "partial":
            yield self._finding("status", candle, "status 'partial'", "every trade of it is stored")

    def _contradicted(
        self, candle: Candle, made: Candle | None, fields: list[str], claimed: str, true: str, *, is_whole: bool = True
    ) -> Iterator[Finding]:
        """The candle and the stored trades differ: one of the two is false, or the venue counts them differently."""
        verdict = self.refuted.verdict(candle, made, fields, is_whole=is_whole)
        if verdict == "trades":
            yield from self.refuted.wrong(candle, made, fields)
        elif verdict == "candle":
            yield self._finding("candle", candle, claimed, true)

    def _with_gap(self, candle: Candle, made: Candle | None) -> Iterator[Finding]:
        """Checks a period with some of its trades stored."""
        touching = self._touching(candle.open_time, candle.close_time + 1)
        if any(gap.begins_anew for gap in touching):
            return
        short = list(self._too_little(candle, made))
        yield from short
        if made is None and not all(self._ledger.names_gap(gap) for gap in touching):
            yield from self._groundless(candle)
        if candle.status == "venue" and not short:
            yield from self.refuted.lacking(candle, made, touching)
        if candle.status in COMPLETE and not candle.proof and self._is_known_incomplete(candle, made, touching):
            true = "trades of it are missing, and nothing has confirmed it"
            yield self._finding("status", candle, f"status {candle.status!r}", true)

    def _too_little(self, candle: Candle, made: Candle | None) -> Iterator[Finding]:
        """The stored trades are a part of the candle's, and more than it says."""
        short = [] if made is None or candle.status == "partial" else _falls_short(candle, made)
        if not short or made is None:
            return
        true = f"at least {_shown(made, short)}"
        yield from self._contradicted(candle, made, short, _shown(candle, short), true, is_whole=False)

    def _is_known_incomplete(self, candle: Candle, made: Candle | None, gaps: Sequence[IdGap]) -> bool:
        if not has_traded(candle):
            return True  # flat candles need consecutive ids on both sides
        if any(self._ledger.names(h.first, h.last, kinds=("gap",)) for h in gaps):
            return True
        end = candle.close_time
        return any(candle.open_time <= h.after_time and h.before_time <= end for h in gaps) and (
            made is not None and candle.trades <= made.trades
        )

    def _at_edge(self, candle: Candle, made: Candle, ground: Ground) -> Iterator[Finding]:
        """Checks the first or last period with stored trades."""
        if candle.status == "partial" or candle.first_id < 0:
            return
        if ground == "begin" and candle.first_id < made.first_id:
            yield from self._too_little(candle, made)
            yield from self._before_stored(candle)
        elif ground == "end" and candle.last_id > made.last_id:
            yield from self._after_stored(candle)
        else:
            yield from self._complete(candle, made)

    def _after_stored(self, candle: Candle) -> Iterator[Finding]:
        """Checks a candle with newer trades than all stored ones."""
        if (
            candle.status not in COMPLETE
            or candle.last_id < 0
            or self._ledger.explains(candle.open_time, candle.close_time + 1, ("store_outage",))
        ):
            return
        true = f"the stored trades end at {self._trades.last_time}"
        yield self._finding("hole", candle, f"last_id {candle.last_id} of a {candle.status} candle", true)

    def _before_stored(self, candle: Candle) -> Iterator[Finding]:
        """Checks a candle with older trades than all stored ones: only their age may be the reason."""
        since = self._trades.since
        if since is None or candle.open_time < since or not candle.is_closed:
            return
        if self._ledger.explains(candle.open_time, candle.close_time + 1, ("store_outage",)):
            return
        found = list(self._groundless(candle))
        yield from found
        begin, end = candle.open_time, candle.close_time
        if found and not any(begin <= one.begin <= end for one in self.unheld):
            self.unheld.append(DisputedTradesQuery(candle.symbol, candle.first_id, candle.last_id, begin, end))

    def _groundless(self, candle: Candle) -> Iterator[Finding]:
        """A candle that has trades by id, of which none is stored."""
        if candle.status not in COMPLETE or candle.first_id < 0:
            return
        first = self._trades.first_time
        true = "no trade is stored" if first is None else f"it lacks stored trades; the first ones are of {first}"
        claimed = f"ids {candle.first_id} to {candle.last_id} of a {candle.status} candle"
        yield self._finding("hole", candle, claimed, true)

    def _finding(self, kind: Kind, candle: Candle, claimed: str, true: str) -> Finding:
        self._wrong.add((candle.timeframe, candle.open_time))
        return Finding(kind, self.symbol, candle.timeframe, candle.open_time, claimed, true)


def _falls_short(candle: Candle, least: Candle) -> list[str]:
    """Fields below what some of the candle's trades prove."""
    fields = [name for name in VOLUMES if falls_below(candle, least, name)]
    fields += ["trades"] * (0 <= candle.trades < least.trades)
    fields += ["high"] * (candle.high < least.high) + ["low"] * (candle.low > least.low)
    if candle.first_id >= 0:
        fields += ["first_id"] * (candle.first_id > least.first_id) + ["last_id"] * (candle.last_id < least.last_id)
    return fields


def _shown(candle: Candle, fields: Sequence[str]) -> str:
    return ", ".join(f"{name} {getattr(candle, name)}" for name in fields)
