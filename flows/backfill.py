"""The importer: the exchange's public files, or old data of its REST side, through the machines of the live flow into
the same stores.

    MARKETFLOW_BACKFILL__START=2024-10-01 python -m bytewax.run flows.backfill

Durable files are recorded and not imported again; an interrupted one is imported again from the begin of its file, or
day, which changes nothing that is stored already. The stores must not be in use by a flow. The exit code is 1 when
anything could not be imported; unavailable days are reported, and are no failure.
"""

import atexit
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType

import structlog
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from pymongo.errors import PyMongoError

from flows.clock import FeedClock
from flows.loop_thread import EventLoopThread
from flows.machine import machine
from flows.model import DAY_MS, Candle, Origin, Vouched, timeframe_ms
from flows.operators.candles.upgrade import CLOSED, contradicts, improved
from flows.process.gc import keep_loaded
from flows.process.logs import set_up_logs
from flows.runtime.import_stores import check_stores, identities, stores_of
from flows.runtime.query_handlers import open_database
from flows.settings import Settings, SettingsError, load_settings
from flows.steps import pack, sequence_candles
from flows.texts import counted, database_reason
from sinks.bridge import PartitionedWriterSink
from sinks.importer import Importer, Improvement, are_incidents_stored
from sinks.ledger import IncidentWriter
from sinks.mongo.reader import CandleReader
from sinks.mongo.writer import MongoWriter, open_mongo_writer
from sinks.trades.codec import MINUTE_MS
from sinks.trades.compaction import Clocks
from sinks.trades.store import TradeStoreError
from sinks.trades.writer import TradeWriter, open_trade_writer, partition_names
from sources.archive.bridge import ArchiveSource, GetFile, Keyed
from sources.archive.csv_reader import ArchiveError, ArchiveReader
from sources.archive.fetch import Downloader, OnBytes, check, digest_of, files_in, vouched_by
from sources.archive.files import TRADES, ArchiveFile, date_of, days_for, files_for
from sources.archive.gaps import ImportGaps
from sources.archive.manifest import Manifest
from sources.archive.progress import ImportProgress
from sources.archive.spans import Span, left_out, spans_of
from sources.archive.venue import VenueDays
from sources.venues import VENUES

MOST_CANDLES = 20_000
"""Most candles that wait for MongoDB; with more, the import waits."""
MANIFEST = "imported.json"
NEVER_MS = 10**12
SETTLED_MS = 10_000
"""Age from which the REST side has all trades and klines."""

_log = structlog.get_logger("flows.backfill")


def build_flow(settings: Settings, source: Source[Keyed], importer: Importer) -> Dataflow:
    """The flow of the import. All input passes the machines of the live flow, and their results go in order to one
    sink: the end mark of a span comes after all its results.
    """
    # no candle is closed by time, and forming ones are not published
    never = {
        "reorder_ms": 0,
        "redundancy": 1,
        "close_grace_ms": NEVER_MS,
        "forming_ms": NEVER_MS,
        "streams": ("aggTrade",),
    }
    rules = VENUES[settings.feed.venue].rules
    # shorter candles are kept until the longest one around them is compared
    longest_ms = timeframe_ms(settings.feed.timeframes[-1])
    build = partial(
        sequence_candles, feed=settings.feed.model_copy(update=never), can_query=False, rules=rules, kept_ms=longest_ms
    )
    flow = Dataflow("backfill")
    made = machine("candles", op.input("archive", flow, source), build, FeedClock())
    in_order = op.flat_map_batch("in_order", made, lambda items: pack("stores", [[value for _, value in items]]))
    op.output("stores", in_order, PartitionedWriterSink(["stores"], lambda _: importer))
    return flow


def build_importer(
    settings: Settings,
    manifest: Manifest,
    progress: ImportProgress,
    stop: threading.Event,
    *,
    end_ms: int | None = None,
) -> Importer:
    """The stores of the import. A failing one ends it. `end_ms` is the end of the imported data, from which retention
    counts; without it nothing is deleted.
    """
    ledger, gaps = IncidentWriter(), ImportGaps()
    ledger.add_sink(gaps)
    candles = _open_mongo(settings, ledger) if settings.mongo.enabled else None
    if candles:
        ledger.add_sink(candles)

    def on_stored(spans: list[Span]) -> None:
        stored, lacking = gaps.sort(spans)
        manifest.forget(lacking)
        manifest.add(stored)
        progress.on_stored(len(spans))

    def on_failure(reason: str) -> None:
        progress.fail(reason)
        stop.set()

    return Importer(
        candles=candles,
        most_candles=min(MOST_CANDLES, settings.mongo.buffer // 2),
        trades=_open_trades(settings, ledger, candles, end_ms) if settings.trades.enabled else [],
        ledger=ledger,
        marker=Span,
        on_stored=on_stored,
        on_failure=on_failure,
        improvement=_improvement(settings, manifest) if settings.mongo.enabled else None,
    )


def _improvement(settings: Settings, manifest: Manifest) -> Improvement:
    """How imported candles that are better proven replace stored ones."""
    reader = CandleReader(open_database(settings.mongo), venue=settings.feed.venue)
    rules = VENUES[settings.feed.venue].rules

    def origin_of(candle: Candle) -> Origin:
        return manifest.origin_of(candle.symbol, candle.timeframe, candle.open_time, candle.close_time + 1)

    return Improvement(
        partial(reader.of_status, CLOSED),
        partial(improved, rules=rules),
        partial(contradicts, rules=rules),
        origin_of,
    )


def _open_mongo(settings: Settings, ledger: IncidentWriter) -> MongoWriter:
    return open_mongo_writer(
        settings.mongo,
        retention=settings.backfill.retention,
        on_incident=lambda incident: ledger.write([incident]),
        venue=settings.feed.venue,
        summary_s=settings.log.summary_s,
    )


def _open_trades(
    settings: Settings, ledger: IncidentWriter, candles: MongoWriter | None, end_ms: int | None
) -> list[TradeWriter]:
    """The writers of all partitions. Old data is kept, unless the settings enable retention, and is written to records
    of a minute directly. What replaces or drops stored trades waits until `candles` has stored the lines of the ledger.
    """
    kept = {} if settings.backfill.retention else {"retention_days": 0.0}
    return [
        open_trade_writer(
            settings.trades.model_copy(update=kept),
            venue=settings.feed.venue,
            partition=partition,
            record_ms=MINUTE_MS,
            clocks=Clocks(venue_now=lambda: end_ms),
            on_incident=lambda incident: ledger.write([incident]),
            are_incidents_stored=(lambda: True) if candles is None else partial(are_incidents_stored, candles),
        )
        for partition in partition_names(settings.trades.partitions)
    ]


def _forget_lost(settings: Settings, manifest: Manifest) -> None:
    """Forgets what was imported into stores that are there no more, and says so."""
    try:
        lost = manifest.forget_lost(identities(settings))
    except PyMongoError:
        if not settings.backfill.dry_run:
            raise
        return  # the plan is printed all the same
    if lost:
        _log.warning("store_lost", stores=lost, outcome="not the one of earlier imports: all is imported again")


def _plan(settings: Settings, manifest: Manifest, on_bytes: OnBytes) -> tuple[list[Span], GetFile]:
    """The spans to import, and a function that gets their files."""
    backfill = settings.backfill
    kinds = [TRADES] * ("trades" in backfill.kinds) + list(settings.feed.timeframes) * ("klines" in backfill.kinds)
    if backfill.source not in ("archive", "rest"):
        return _plan_folder(settings, manifest, kinds)
    if backfill.start is None:
        raise SettingsError("backfill.start: say from when on, as in MARKETFLOW_BACKFILL__START=2024-10-01")
    begin, end = _ms(backfill.start), _ms(backfill.end or datetime.now(UTC))
    if backfill.source == "rest":
        return _plan_rest(settings, manifest, kinds, begin, end)
    return _plan_archive(settings, manifest, kinds, begin, end, on_bytes)


def _plan_folder(settings: Settings, manifest: Manifest, kinds: list[str]) -> tuple[list[Span], GetFile]:
    """The files of the named symbols, or of all in the folder."""
    backfill, folder = settings.backfill, Path(settings.backfill.source)
    paths = {file: path for file, path in files_in(folder, backfill.symbols or None).items() if file.kind in kinds}
    begin = _ms(backfill.start) if backfill.start else 0
    vouched = {file for file, path in paths.items() if vouched_by(path)}
    spans = spans_of(paths, begin, _ms(backfill.end or datetime.now(UTC)), vouched)
    for file in left_out(paths, spans):
        _log.warning("file_left_out", file=paths[file].name, reason="another file of the folder holds the same days")
    absent = sorted(set(backfill.symbols) - {span.symbol for span in spans})
    if not spans:
        named = f"of {', '.join(absent)} " if absent else "of the archive "
        raise ArchiveError(f"{folder} holds no files {named}for these days")
    if absent:
        _log.warning("no_files_for_symbols", symbols=absent)

    def get(file: ArchiveFile) -> ArchiveReader:
        manifest.set_current(file, digest_of(paths[file]))
        return _reader(manifest, file, paths[file], check(paths[file]))

    _know_held(manifest, spans, paths)
    return spans, get


def _plan_archive(
    settings: Settings,
    manifest: Manifest,
    kinds: list[str],
    begin: int,
    end: int,
    on_bytes: OnBytes,
) -> tuple[list[Span], GetFile]:
    """The files of the archive: each covers whole days, and today has none yet."""
    backfill, venue = settings.backfill, settings.feed.venue
    first, behind = date_of(begin), date_of(end + DAY_MS - 1 if backfill.end else end)
    files = [file for symbol in _named(settings) for kind in kinds for file in files_for(symbol, kind, first, behind)]
    downloader = Downloader(f"{backfill.archive_url}/{_archive_of(settings)}", backfill.cache, on_bytes=on_bytes)

    def get(file: ArchiveFile) -> ArchiveReader | None:
        path = downloader.get(file, venue=venue)
        if path is None:
            return None
        manifest.set_current(file, digest_of(path))
        return _reader(manifest, file, path, vouched_by(path))

    spans = spans_of(files, begin, end)
    paths = {file: downloader.path_of(file, venue) for file in files}
    _know_held(manifest, spans, {file: path for file, path in paths.items() if path.is_file()})
    return spans, get


def _archive_of(settings: Settings) -> str:
    """Where the files of the venue are in the archive. `SettingsError` for a venue that has none there."""
    venue = settings.feed.venue
    if not VENUES[venue].archive:
        raise SettingsError(
            f"backfill.source: the archive has no files of {venue}: write rest, for what its REST interface still has"
        )
    return VENUES[venue].archive


def _reader(manifest: Manifest, file: ArchiveFile, path: Path, vouched: Vouched) -> ArchiveReader:
    """The reader of a file that was checked; the manifest is to remember that the exchange vouches for it."""
    if vouched == "all":
        manifest.set_vouched(file)
    return ArchiveReader(file, path, vouched=vouched)


def _know_held(manifest: Manifest, spans: list[Span], paths: dict[ArchiveFile, Path]) -> None:
    """Passes the digests of the existing files that count as imported; the others are read anyway."""
    for span in spans:
        for file in span.files:
            if file in paths and manifest.holds(file, span):
                manifest.set_current(file, digest_of(paths[file]))


def _plan_rest(
    settings: Settings, manifest: Manifest, kinds: list[str], begin: int, end: int
) -> tuple[list[Span], GetFile]:
    """Days of the venue, until `SETTLED_MS` before its own time, in whole periods."""
    feed = settings.feed
    network = EventLoopThread()
    rest = VENUES[feed.venue].rest(feed.model_copy(update={"streams": ("aggTrade",)}), settings.rest)
    days = VenueDays(rest, network)
    length = timeframe_ms(feed.timeframes[0])
    end = min(end, (days.result(rest.time()) - SETTLED_MS) // length * length)
    files = [file for symbol in _named(settings) for kind in kinds for file in days_for(symbol, kind, begin, end)]
    if not files:
        raise ArchiveError(f"backfill.start: {settings.backfill.start} is not over yet at {feed.venue}")
    for file in files:
        manifest.set_vouched(file)
    return spans_of(files, begin, end), days.get


def _named(settings: Settings) -> tuple[str, ...]:
    """The symbols to import from a venue, which has many more."""
    return settings.backfill.symbols or settings.feed.symbols


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)


def _end_on_signals() -> None:
    """An import can be interrupted at any moment: durable files are recorded."""

    def on_signal(number: int, _: FrameType | None) -> None:
        _log.warning("import_interrupted", hint="run it again to go on", signal=signal.Signals(number).name)
        os._exit(128 + number)

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)


def _report_at_exit(progress: ImportProgress, importer: Importer) -> None:
    """Logs the figures and sets the exit code, which the engine cannot do."""

    def report() -> None:
        importer.close()  # the engine does so too, if there was anything to import
        progress.end()
        proofs = {f"candles_{proof.replace(' ', '_')}": count for proof, count in importer.proofs.items() if proof}
        compared = sum(proofs.values())
        rate = round(progress.rate)
        _log.info(
            "import_finished",
            files=progress.files,
            trades=progress.trades,
            trades_per_s=rate,
            candles_compared=compared,
            **proofs,
        )
        if progress.missing:
            _log.warning("files_missing", files=progress.missing)
        if progress.failures:
            sys.stderr.write(f"marketflow: not everything was imported: {'; '.join(progress.failures)}\n")
            sys.stderr.flush()
            os._exit(1)

    atexit.register(report)


def _print_plan(new: list[Span], spans: int) -> int:
    """Prints the files that an import would read, one on each line; returns the exit code."""
    files = [file.name for span in new for file in span.files]
    sys.stdout.write("".join(f"{name}\n" for name in files))
    symbols = len({span.symbol for span in new})
    read = f"{counted(len(files), 'file')} to read, of {counted(symbols, 'symbol')}"
    sys.stdout.write(f"{read}; {spans - len(new)} of {counted(spans, 'span')} imported before\n")
    return 0


def _build() -> Dataflow:
    keep_loaded()
    try:
        settings = load_settings().to_import()
        set_up_logs(settings.log)
        manifest = Manifest(settings.backfill.cache / MANIFEST, stores=stores_of(settings))
        progress = ImportProgress()
        spans, get = _plan(settings, manifest, progress.on_bytes)
        if not settings.backfill.dry_run:
            check_stores(settings)
        _forget_lost(settings, manifest)
        new = [span for span in spans if not all(manifest.holds(file, span) for file in span.files)]
        if settings.backfill.dry_run:
            sys.exit(_print_plan(new, len(spans)))
        manifest.prepare()
        progress.expect(len(new))
        stop = threading.Event()
        end_ms = max((span.end for span in spans), default=None)
        importer = build_importer(settings, manifest, progress, stop, end_ms=end_ms)
        manifest.bind(identities(settings))
        source = ArchiveSource(settings.feed.venue, spans, get, manifest=manifest, watcher=progress, stop=stop)
        built = build_flow(settings, source, importer)
    except PyMongoError as error:
        sys.exit(f"marketflow: {database_reason(error)}")
    except (SettingsError, ArchiveError, TradeStoreError, ValueError) as error:
        sys.exit(f"marketflow: {error}")
    _end_on_signals()
    _log.info(
        "import_starting",
        symbols=len({span.symbol for span in new}),
        spans=len(new),
        imported_before=len(spans) - len(new),
        retention=settings.backfill.retention,
    )
    _report_at_exit(progress, importer)
    return built


def __getattr__(name: str) -> Dataflow:
    """`flow` is built when the engine accesses it, so that importing the parts starts nothing."""
    if name == "flow":
        return _build()
    raise AttributeError(name)
