"""Repairs what a verification has found of one symbol, and of none, in the order in which one builds on the other."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from flows.bounds import LATEST_MS
from flows.model import DAY_MS, Candle
from flows.verification.checks.findings import Findings, Report
from flows.verification.checks.symbol import EARLIEST_MS, MOST_GAPS, SymbolVerifier
from flows.verification.checks.trade_ids import Misplaced
from flows.verification.checks.unreadable import UnreadableDocument, UnreadableRecord
from flows.verification.records import RecordRepair
from flows.verification.refill import Refilled, TradeRefill
from flows.verification.repair import CandleRepair
from flows.verification.stores import VenueStores

Verify = Callable[[str, int, int], SymbolVerifier]
"""Verifies the candles of a symbol that open in `[start, end)`, ms UTC."""
NOTHING: Final = Refilled()


class Mending:
    """The repairs of one run. Exceptions of the stores, and `VenueError`, end it; what was repaired before stays."""

    def __init__(
        self,
        stores: VenueStores,
        candles: CandleRepair,
        *,
        timeframe: str,
        verifier: Verify,
        refill: TradeRefill | None,
        records: RecordRepair | None,
    ) -> None:
        """`timeframe` is the shortest. Without a trade store there is no `refill` and no repair of `records`."""
        self._stores = stores
        self._candles = candles
        self._timeframe = timeframe
        self._verifier = verifier
        self._refill = refill
        self._records = records
        self._misplaced: list[Misplaced] = []
        """Trades of the symbol that show as misplaced since others were fetched."""

    def mend_strays(
        self, records: Sequence[UnreadableRecord], documents: Sequence[UnreadableDocument], report: Report
    ) -> None:
        """Removes what belongs to no symbol."""
        if self._records and records:
            self._add(self._records.repair("", records, NOTHING), report)
        report.removed += self._candles.remove_documents(documents)

    def mend(self, symbol: str, found: Findings, verifier: SymbolVerifier, report: Report) -> None:
        """Rewrites wrong candles from stored trades, fetches trades that lack, are wrong or cannot be read, and
        rewrites the candles of these.
        """
        written = self._candles.repair(found.of_candles, verifier.recounted, until=verifier.counts.until)
        corrected: list[Candle] = []
        self._misplaced = []
        refilled = NOTHING
        if verifier.gaps and self._refill:
            refilled = self._refill.refill(symbol, verifier.gaps)
            times = [(gap.after_time, gap.before_time) for gap in verifier.gaps]
            written += self._fetched(symbol, refilled, times, report)
        if verifier.unheld and self._refill:
            times = [(one.begin, one.end) for one in verifier.unheld]
            written += self._fetched(symbol, self._refill.restore(symbol, verifier.unheld), times, report)
        if self._records:
            written += self._mend_records(self._records, symbol, verifier, refilled, report)
        misplaced = list(dict.fromkeys([*verifier.misplaced, *self._misplaced]))
        if misplaced and self._refill:
            times = [(one.begin, one.end) for one in misplaced]
            written += self._fetched(symbol, self._refill.remove(symbol, misplaced), times, report)
        if verifier.copies and self._refill:
            times = [(one.begin, one.end) for one in verifier.copies]
            written += self._fetched(symbol, self._refill.decide(symbol, verifier.copies), times, report)
        if verifier.refuted and self._refill:
            times = [(one.query.begin, one.query.end) for one in verifier.refuted]
            replaced = self._refill.replace(symbol, verifier.refuted)
            written += self._fetched(symbol, replaced, times, report)
            corrected = self._refuted_candles(verifier) if replaced.trades else []
        self._mend_documents(symbol, verifier, [*written, *corrected], report)
        left = self._candles.take_left(symbol)
        report.left += [left] if left else []
        if verifier.is_full:
            report.left.append(f"{symbol}: one repair mends {MOST_GAPS} gaps at most: repair again for others")
        report.repaired += len(written)
        report.republished += self._candles.republish([*written, *corrected])

    def _mend_records(
        self, repair: RecordRepair, symbol: str, verifier: SymbolVerifier, refilled: Refilled, report: Report
    ) -> list[Candle]:
        records = list(verifier.records.values())
        if verifier.has_misplaced:
            records += self._stores.misplaced_records(symbol, EARLIEST_MS, LATEST_MS)
        if not records:
            return []
        done = repair.repair(symbol, records, refilled)
        return self._fetched(symbol, done, [(one.begin, one.end) for one in done.incidents], report)

    def _mend_documents(self, symbol: str, verifier: SymbolVerifier, written: Iterable[Candle], report: Report) -> None:
        """Removes documents that cannot be read and hold the place of nothing; names those that nothing replaces."""
        if verifier.has_misplaced:
            report.removed += self._candles.remove_outside(symbol, EARLIEST_MS, LATEST_MS)
        replaced = {(candle.timeframe, candle.open_time) for candle in written}
        rest = [one for one in verifier.bad_candles if (one.timeframe, one.open_time) not in replaced]
        removed, left = self._candles.remove_running(symbol, rest)
        report.removed += removed
        report.left += [left] if left else []

    def _fetched(self, symbol: str, filled: Refilled, times: Sequence[tuple[int, int]], report: Report) -> list[Candle]:
        """Reports what was fetched; returns the candles that it has changed."""
        self._add(filled, report)
        return self._rebuilt(symbol, times) if filled.trades and times else []

    def _add(self, filled: Refilled, report: Report) -> None:
        report.refilled += filled.trades
        report.removed += filled.removed
        report.left += [filled.left] if filled.left else []

    def _refuted_candles(self, verifier: SymbolVerifier) -> list[Candle]:
        """The exchange's candles whose trades were wrong: now they have them."""
        return [
            stored.candle
            for one in verifier.refuted
            for stored in self._stores.candles(one.query.symbol, self._timeframe, one.query.begin, one.query.end + 1)
        ]

    def _rebuilt(self, symbol: str, times: Sequence[tuple[int, int]]) -> list[Candle]:
        """Rewrites the candles from the begin of one of these times to its end where new trades change them."""
        self._stores.catch_up()
        start = min(begin for begin, _ in times) // DAY_MS * DAY_MS
        end = (max(end for _, end in times) // DAY_MS + 1) * DAY_MS
        verifier = self._verifier(symbol, start, end)
        found = Findings(verifier.findings())
        self._misplaced += verifier.misplaced
        return self._candles.repair(found.of_candles, verifier.recounted, until=verifier.counts.until)
