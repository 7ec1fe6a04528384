"""Output of a verification: progress, a table, and JSON."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from flows.clock import monotonic_ms
from flows.foreign import visible
from flows.process.terminal_bar import terminal_bar
from flows.texts import counted
from flows.verification.checks.findings import Finding, Report, moment

MOST_SHOWN = 50
"""Most findings in the table; the JSON report lists more."""
LINE_EVERY_MS = 5_000
"""Without a terminal, least time between two lines; another line at the end of each symbol."""
_LONGEST = 300
_NOTED = {"loss": "known losses", "time": "trades with a suspicious time"}


class VerificationProgress:
    """Progress on standard error: a bar on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._progress = terminal_bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("days"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._progress.add_task("verifying", total=None, note="")
        self._symbol = ""
        self._days = self._done = self._trades = 0
        self._begun_ms = self._line_ms = monotonic_ms()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def begin(self, symbol: str, days: int) -> None:
        """A symbol begins, or begins again to confirm findings."""
        self._symbol, self._days, self._done, self._trades = symbol, days, 0, 0
        self._begun_ms = self._line_ms = monotonic_ms()
        self._progress.reset(self._task, total=days, description=symbol, note="")

    def on_day(self, _: int, trades: int) -> None:
        """One more day is verified; `trades` of the symbol are read so far."""
        self._done, self._trades = self._done + 1, trades
        self._progress.update(self._task, completed=self._done, note=self._note())
        if monotonic_ms() - self._line_ms >= LINE_EVERY_MS:
            self.line(f"{self._symbol}: {self._done} of {counted(self._days, 'day')}, {self._note()}")

    def end(self, findings: int) -> None:
        """The symbol is verified."""
        false = counted(findings, "false claim") if findings else "no false claims"
        self.line(f"{self._symbol}: {counted(self._done, 'day')}, {self._note()}, {false}")

    def line(self, text: str) -> None:
        """Writes a plain line, where there is no bar."""
        self._line_ms = monotonic_ms()
        if self._progress.disable:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def _note(self) -> str:
        seconds = max(1, monotonic_ms() - self._begun_ms) / 1_000
        return f"{counted(self._trades, 'trade')}, {self._trades / seconds:,.0f}/s"


def show(report: Report, console: Console) -> None:
    """Prints the table of the symbols, and of the first findings."""
    table = Table(title=f"{report.venue}: {'all claims hold' if report.is_true else 'false claims'}")
    for name in ("symbol", "trades", "candles", "by trades", "by exchange", "named gaps", "notes", "false"):
        table.add_column(name, justify="left" if name == "symbol" else "right")
    for symbol, counts in report.symbols.items():
        numbers = (
            counts.trades,
            counts.candles,
            counts.recomputed,
            counts.compared,
            counts.named_holes + counts.named_missing,
            counts.notes,
            counts.findings,
        )
        table.add_row(Text(visible(symbol)), *(f"{number:,}" for number in numbers))
    console.print(table)
    if report.findings:
        console.print(_table_of("claimed", report.findings))
    if not report.is_true:
        total = sum(report.totals.values())
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.totals.items()))
        console.print(
            f"{counted(total, 'false claim')} ({kinds}), {min(total, MOST_SHOWN)} of them shown", markup=False
        )
    if report.notes:
        console.print(_table_of("stored", report.notes))
        total = sum(report.noted.values())
        words = ", ".join(f"{count} {_NOTED[kind]}" for kind, count in sorted(report.noted.items()))
        console.print(f"No false claims: {words}, {min(total, MOST_SHOWN)} of them shown", markup=False)
    done = (
        (report.repaired, "candle repaired", "candles repaired"),
        (report.refilled, "trade fetched and stored", "trades fetched and stored"),
        (
            report.removed,
            "unreadable record or document is there no more",
            "unreadable records and documents are there no more",
        ),
        (report.republished, "request to a running flow, to publish it", "requests to a running flow, to publish them"),
    )
    for count, one, several in done:
        if count:
            console.print(counted(count, one, several), markup=False)
    for sentence in report.left:
        console.print(visible(sentence, limit=_LONGEST * 2), markup=False)


def _table_of(claimed: str, findings: list[Finding]) -> Table:
    table = Table("kind", "symbol", "timeframe", "open time", claimed, "true")
    for finding in findings[:MOST_SHOWN]:
        words = (finding.symbol, finding.timeframe, moment(finding.open_time), finding.claimed, finding.true)
        table.add_row(finding.kind, *(Text(visible(word, limit=_LONGEST)) for word in words))
    return table


def as_json(reports: Sequence[Report], *, exit_code: int) -> bytes:
    """Reports as JSON: counts, totals, and the first findings. One is the object itself, several are its `venues`."""
    if len(reports) == 1:
        values = _values(reports[0]) | {"exit_code": exit_code}
    else:
        holds = all(report.is_true for report in reports)
        values = {"holds": holds, "exit_code": exit_code, "venues": [_values(report) for report in reports]}
    return msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n"


def _values(report: Report) -> dict[str, Any]:
    return {
        "venue": report.venue,
        "holds": report.is_true,
        "symbols": report.symbols,
        "totals": report.totals,
        "listed": len(report.findings),
        "findings": report.findings,
        "noted": report.noted,
        "notes": report.notes,
        "repaired": report.repaired,
        "refilled": report.refilled,
        "removed": report.removed,
        "republished": report.republished,
        "left": report.left,
    }
