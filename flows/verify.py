"""Verifies that the stored candles are what they claim to be.

    python -m flows.verify [--venue binance] [--symbols BTCUSDT,ETHUSDT] [--timeframes 1m,1h] [--start 2026-01-01]
                           [--end 2026-02-01] [--against rest|FOLDER] [--json FILE|-] [--repair] [--folder data]

Without `--venue` every venue of the settings is verified. Candles are recomputed from the stored trades and compared
with the stored ones, with their status and proof; see `docs/verify.md`. The exit code is 0 when all claims hold, 1 when
one is false, 2 when the verification cannot run. It reads beside a live flow without disturbing it.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from pymongo.database import Database
from rich.console import Console

from flows.backup.manifest import BackupError
from flows.backup.place import Place, database_of, place_of
from flows.clock import wall_ms
from flows.loop_thread import EventLoopThread
from flows.model import DAY_MS, timeframe_ms
from flows.process.gc import keep_loaded
from flows.process.interrupts import exit_code_of, raise_on_interrupt
from flows.process.logs import set_up_logs
from flows.settings import Settings, SettingsError, load_settings
from flows.supervision.spec import LIVE_FOLDER
from flows.times import time_ms_of
from flows.verification.checks.findings import NOTES, Finding, Findings, Report
from flows.verification.checks.reading import GetKlines
from flows.verification.checks.symbol import SymbolVerifier, Task
from flows.verification.choice import SETTLE_S, CannotRunError, Options, chosen, with_data
from flows.verification.mending import Mending
from flows.verification.output import VerificationProgress, as_json, show
from flows.verification.records import RecordRepair
from flows.verification.refill import GetTrades, Note, TradeRefill
from flows.verification.repair import CandleRepair
from flows.verification.stores import ArchiveKlines, RestVenue, VenueStores
from sinks.mongo.commands import leave_request
from sinks.mongo.store import CandleStore
from sinks.trades.begins import TradeBegins
from sinks.trades.reader import TradeReader
from sinks.trades.store import TradeStoreError
from sources.archive.csv_reader import ArchiveError
from sources.rest.client import VenueError
from sources.venues import VENUES

HOLDS, FALSE, CANNOT_RUN = 0, 1, 2
PROGRAM = "python -m flows.verify"


def verify(
    settings: Settings,
    options: Options,
    *,
    folder: Path = LIVE_FOLDER,
    progress: VerificationProgress | None = None,
) -> Report:
    """Verifies the stores of the one venue, or the first, of a deployment with these settings in `folder`, whose
    bundled database is started for it where it does not run. `CannotRunError` when that is impossible, or becomes so.
    """
    [report] = verify_all(settings.of_venue(), options, folder=folder, progress=progress)
    return report


def verify_all(
    settings: Settings, options: Options, *, folder: Path = LIVE_FOLDER, progress: VerificationProgress | None = None
) -> list[Report]:
    """The same for every venue of the settings. Of several, those are left out that have stored nothing, or none of the
    chosen symbols; there must be one that has.
    """
    progress = progress or VerificationProgress()
    if options.end <= options.start:
        raise CannotRunError("--end is not after --start")
    if len(settings.by_venue) > 1 and options.against not in ("", "rest"):
        raise CannotRunError(f"--against {options.against}: say by --venue whose files these are")
    try:
        with ExitStack() as opened, progress:
            database = _database(place_of(settings, folder), opened)
            places = [place_of(settings.of_venue(venue), folder) for venue in settings.by_venue]
            if len(places) == 1:
                return [_Run(places[0], options, progress, opened, database).report()]
            runs = [
                _Run(place, own, progress, opened, database, place_in_several=number)
                for number, (place, own) in enumerate(with_data(places, database, options))
            ]
            return [run.report() for run in runs]
    except BackupError as error:
        raise CannotRunError(str(error)) from error
    except (ArchiveError, VenueError) as error:
        raise CannotRunError(f"--against {options.against}: {error}") from error
    except (FileNotFoundError, TradeStoreError) as error:
        raise CannotRunError(str(error)) from error


class _Run:
    """One run over all symbols of a venue."""

    def __init__(
        self,
        place: Place,
        options: Options,
        progress: VerificationProgress,
        opened: ExitStack,
        database: Database[dict[str, Any]],
        *,
        place_in_several: int | None = None,
    ) -> None:
        settings = place.settings
        self._label = "" if place_in_several is None else f"{settings.feed.venue} "
        self._venue = settings.feed.venue
        self._options = options
        self._progress = progress
        trades = place.trades / self._venue if place.trades else None
        reader = opened.enter_context(TradeReader(trades)) if trades else None
        begins = TradeBegins(trades) if trades else None
        # what names no venue is found once
        self._stores = VenueStores(database, reader, venue=self._venue, begins=begins, has_unnamed=not place_in_several)
        self._settings = settings
        self._strays = self._stores.stray_records(), self._stores.stray_documents()
        self._symbols = chosen("symbols", options.symbols, self._stores.symbols(), may_lack=any(self._strays))
        stored = self._stores.timeframes()
        self._unknown = [name for name in stored if not _is_timeframe(name)]
        known = {*(name for name in stored if _is_timeframe(name)), *settings.feed.timeframes}
        self._timeframes = sorted(chosen("timeframes", options.timeframes, sorted(known)), key=timeframe_ms)
        rest = _rest(settings, opened) if options.against == "rest" else None
        self._get_klines = rest.klines if rest else _archive_klines(options, tuple(self._symbols))
        self._latest = wall_ms() + DAY_MS
        self._mending = self._mending_of(settings, trades, database, rest) if options.repair else None

    def report(self) -> Report:
        report = Report(self._venue)
        if not self._options.symbols:
            self._verify_strays(report)
        for symbol in self._symbols:
            self._verify(symbol, report)
        return report

    def _mending_of(
        self, settings: Settings, trades: Path | None, database: Database[dict[str, Any]], rest: RestVenue | None
    ) -> Mending:
        candles = _repair(settings, database, self._stores)
        refill = _refill(trades, settings, rest.trades if rest else None, candles.note) if trades else None
        return Mending(
            self._stores,
            candles,
            timeframe=self._timeframes[0],
            verifier=lambda symbol, start, end: self._verifier(
                symbol, max(start, self._options.start), min(end, self._options.end)
            ),
            refill=refill,
            records=RecordRepair(refill, venue=self._venue, latest=self._latest) if refill else None,
        )

    def _verify_strays(self, report: Report) -> None:
        """Finds what is stored and belongs to no symbol."""
        records, documents = self._strays
        report.add_all(Findings([*(one.finding("") for one in records), *(one.finding() for one in documents)]))
        if self._mending:
            self._mending.mend_strays(records, documents, report)

    def _verify(self, symbol: str, report: Report) -> None:
        self._stores.catch_up()
        verifier = self._verifier(symbol, self._options.start, self._options.end)
        found = Findings(verifier.findings())
        found.add(self._of_unknown_timeframes(symbol))
        if found.totals and found.is_complete:
            found = self._confirmed(symbol, found)
        report.add(symbol, verifier.counts, found)
        if self._mending:
            self._mending.mend(symbol, found, verifier, report)
        self._progress.end(verifier.counts.findings)

    def _verifier(self, symbol: str, start: int, end: int) -> SymbolVerifier:
        task = Task(
            self._venue,
            symbol,
            tuple(self._timeframes),
            VENUES[self._venue].rules,
            start=start,
            end=end,
            latest=self._latest,
            settle_ms=int(self._options.settle_s * 1_000),
            trade_days=self._settings.trades.retention_days,
            required=_required(self._settings, self._timeframes),
            now=wall_ms(),
        )
        verifier = SymbolVerifier(self._stores, task, get_klines=self._get_klines, on_day=self._progress.on_day)
        self._progress.begin(f"{self._label}{symbol}", len(verifier.days))
        return verifier

    def _confirmed(self, symbol: str, found: Findings) -> Findings:
        """The findings that a second check of the days confirms."""
        time.sleep(self._options.confirm_s)
        self._stores.catch_up()
        times = [finding.open_time for finding in found.listed]
        start, end = min(times) // DAY_MS * DAY_MS, (max(times) // DAY_MS + 2) * DAY_MS
        start, end = max(start, self._options.start), min(end, self._options.end)
        places = {finding.place for finding in found.listed}
        again = Findings(f for f in self._verifier(symbol, start, end).findings() if f.place in places)
        again.add(self._of_unknown_timeframes(symbol))
        again.notes, again.noted = found.notes, found.noted
        again.of_candles += [one for one in found.of_candles if one.kind in NOTES]
        return again

    def _of_unknown_timeframes(self, symbol: str) -> Iterator[Finding]:
        """Candles of invalid timeframes."""
        for name in self._unknown:
            for stored in self._stores.candles_outside(symbol, name, 0, 0):
                yield Finding("candle", symbol, name, stored.candle.open_time, f"timeframe {name!r}", "a timeframe")


def _database(place: Place, opened: ExitStack) -> Database[dict[str, Any]]:
    database = opened.enter_context(database_of(place, is_new=False))
    if database is None:
        raise CannotRunError("mongo.enabled is off: there are no candles to verify")
    return database


def _archive_klines(options: Options, symbols: tuple[str, ...]) -> GetKlines | None:
    """The exchange's candles from files, if a folder is given."""
    if not options.against:
        return None
    archive = ArchiveKlines(Path(options.against), symbols)
    if not archive.files:
        raise CannotRunError(f"--against {options.against}: there are no files of candles of these symbols")
    return archive


def _rest(settings: Settings, opened: ExitStack) -> RestVenue:
    """The exchange's REST side."""
    try:
        rest = VENUES[settings.feed.venue].rest(settings.feed, settings.rest)
    except ValueError as error:
        raise CannotRunError(f"--against rest: {error}") from error
    network = EventLoopThread()
    opened.callback(network.close)
    opened.callback(lambda: network.start(rest.__aexit__()).result())
    return RestVenue(rest, network)


def _repair(settings: Settings, database: Database[dict[str, Any]], stores: VenueStores) -> CandleRepair:
    retention_days = settings.mongo.retention_days if settings.holds_retention(settings.feed.venue) else {}
    store = CandleStore(database, retention_days=retention_days)
    return CandleRepair(stores, store, venue=settings.feed.venue, submit=partial(leave_request, database))


def _refill(trades: Path, settings: Settings, get: GetTrades | None, note: Note) -> TradeRefill:
    venue = settings.feed.venue
    return TradeRefill(
        trades,
        venue=venue,
        partitions=settings.trades.partitions,
        rules=VENUES[venue].rules,
        most_trades=settings.feed.repair_trades,
        get=get,
        note=note,
    )


def _required(settings: Settings, timeframes: Sequence[str]) -> dict[str, int | None]:
    """The chosen ones of the flow's timeframes, and how long their candles are kept, ms; None for ever."""
    days = settings.mongo.retention_days if settings.holds_retention(settings.feed.venue) else {}
    return {
        name: days[name] * DAY_MS if name in days else None for name in timeframes if name in settings.feed.timeframes
    }


def _is_timeframe(name: str) -> bool:
    try:
        timeframe_ms(name)
    except ValueError:
        return False
    return True


# --- the command ---


class _Parser(argparse.ArgumentParser):
    """Raises an error text of one line."""

    def error(self, message: str) -> NoReturn:
        raise CannotRunError(message)


def _parser(prog: str = PROGRAM, epilog: str = "") -> argparse.ArgumentParser:
    parser = _Parser(
        prog=prog,
        description="Do the stores hold what they claim?",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = "where the deployment has its stores; default: %(default)s"
    parser.add_argument("--folder", type=Path, default=LIVE_FOLDER, help=where)
    parser.add_argument("--venue", default="", help="only this exchange; default: all of the settings")
    parser.add_argument("--symbols", type=_names, default=(), help="comma-separated; default: all that are stored")
    parser.add_argument("--timeframes", type=_names, default=(), help="comma-separated; default: all that are stored")
    parser.add_argument("--start", type=_time, default=0, help="first open time: ISO 8601 (UTC) or ms since the epoch")
    parser.add_argument("--end", type=_time, default=1 << 62, help="open times before this one")
    parser.add_argument("--settle", type=_seconds, default=SETTLE_S, help="seconds before the newest data to leave out")
    parser.add_argument("--against", default="", help="rest, or a folder of archive files: the exchange's own candles")
    parser.add_argument("--json", default="", metavar="FILE", help="write a report as JSON; - is standard output")
    parser.add_argument(
        "--repair", action="store_true", help="rewrite wrong candles, fetch missing trades, replace what cannot be read"
    )
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("name at least one")
    return names


def _time(text: str) -> int:
    try:
        return time_ms_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= DAY_MS / 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to a day")
    return seconds


def main(argv: Sequence[str] | None = None, *, prog: str = PROGRAM, epilog: str = "") -> int:
    """Runs the command; returns the exit code. `prog` and `epilog` are the name and the end of its help."""
    raise_on_interrupt()
    fail = partial(print, file=sys.stderr)
    try:
        given = _parser(prog, epilog).parse_args(argv)
        options = Options(
            symbols=given.symbols,
            timeframes=given.timeframes,
            start=given.start,
            end=given.end,
            settle_s=given.settle,
            against=given.against,
            repair=given.repair,
        )
        settings = load_settings()
        set_up_logs(settings.log)
        of = settings.of_venue(given.venue) if given.venue else settings
        reports = verify_all(of, options, folder=given.folder)
        code = HOLDS if all(report.is_true for report in reports) else FALSE
        for report in reports:
            show(report, Console(stderr=given.json == "-"))
        _write_json(reports, given.json, code)
    except (CannotRunError, SettingsError, OSError) as error:
        fail(f"marketflow: cannot verify: {' '.join(str(error).split())}")
        return CANNOT_RUN
    except KeyboardInterrupt as interrupt:
        fail("marketflow: broken off")
        return exit_code_of(interrupt)
    return code


def _write_json(reports: list[Report], to: str, code: int) -> None:
    if to == "-":
        sys.stdout.buffer.write(as_json(reports, exit_code=code))
    elif to:
        Path(to).write_bytes(as_json(reports, exit_code=code))


if __name__ == "__main__":
    keep_loaded()
    sys.exit(main())
