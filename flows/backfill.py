"""The archive importer: the exchange's public files, through the same machines into the same stores.

    MARKETFLOW_BACKFILL__START=2024-10-01 python -m bytewax.run flows.backfill

A file that is stored for good is noted and not imported again. One that was interrupted is imported again as a whole,
which changes nothing that is stored already. The stores must not be in use by a flow.
"""

import atexit
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flows.clock import FeedClock
from flows.graph import by_instrument, only, recorded, sequence_candles, together
from flows.logs import set_up_logs
from flows.machine import machine
from flows.model import DAY_MS, Candle, Incident, Kline, TradeBatch, Whole
from flows.operators.reconcile import candle_of_kline
from flows.settings import Feed, Settings, SettingsError, load_settings
from sinks.bridge import PartitionedWriterSink, WriterSink
from sinks.ledger import IncidentWriter
from sinks.mongo import MongoWriter, open_mongo_writer
from sinks.trade_store import TradeStoreError
from sinks.trades import TradeWriter, open_trade_writer, part_of
from sources.archive.bridge import ArchiveSource
from sources.archive.fetch import Downloader, check, files_in
from sources.archive.names import TRADES, ArchiveFile, files_for
from sources.archive.rows import ArchiveError

MOST_HELD = 50_000
"""Candles that wait for MongoDB; with more, the import waits too."""
LONGEST_FLUSH_S = 60.0
NEVER_MS = 10**12

_log = structlog.get_logger("flows.backfill")


class Journal:
    """Notes which files are stored for good, in these very stores."""

    def __init__(self, path: Path, *, stores: str) -> None:
        self._path = path
        self._stores = stores
        self._notes: list[dict[str, str]] = json.loads(path.read_text()) if path.is_file() else []

    def __contains__(self, file: str) -> bool:
        return {"file": file, "stores": self._stores} in self._notes

    def add(self, file: str) -> None:
        """Notes one more; the file on disk is always whole."""
        self._notes.append({"file": file, "stores": self._stores})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self._notes, indent=1))
        new.replace(self._path)


class Stores:
    """The writers of the import, and what went through them. All belongs to the flow's thread."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        ledger = IncidentWriter()
        self.incidents = ledger
        self._venue = settings.feed.venue
        self._settings = settings
        self._journal = journal
        self._ready: list[str] = []
        self._trades: dict[str, TradeWriter] = {}
        self.documents = _open_mongo(settings, ledger) if settings.mongo.enabled else None
        if self.documents:
            ledger.keep_in(self.documents)
        self.proofs: Counter[str] = Counter()

    def open_trades(self, part: str) -> TradeWriter:
        """The writer of a partition; old data is kept, unless the settings want it otherwise."""
        settings = self._settings.trades
        if not self._settings.backfill.retention:
            settings = settings.model_copy(update={"retention_days": 0.0})
        writer = open_trade_writer(
            settings, venue=self._venue, partition=part, on_incident=lambda incident: self.incidents.write([incident])
        )
        self._trades[part] = writer
        return writer

    def write(self, batch: list[list[Candle]]) -> None:
        """Takes closed candles, and waits while too many are held."""
        for candles in batch:
            closed = [candle for candle in candles if candle.is_closed]
            self.proofs.update(candle.proof for candle in closed)
            if self.documents:
                self.documents.write(closed)
                while self.documents.held > MOST_HELD:
                    time.sleep(0.01)

    def finish(self, batch: list[Whole]) -> None:
        """Files that have gone through the flow. They are noted when the next one has, or at the end: by then their
        last trades and candles are with the writers, and here it is waited until these have stored them.
        """
        for whole in batch:
            self._note()
            self._ready.append(whole.name)

    def close(self) -> None:
        """Stores everything, and notes the last files."""
        self._note()
        for writer in (*self._trades.values(), self.documents):
            if writer:
                writer.close()

    def _note(self) -> None:
        if not self._ready:
            return
        stored = all(writer.flush(timeout_s=LONGEST_FLUSH_S) for writer in self._trades.values())
        deadline = time.monotonic() + LONGEST_FLUSH_S
        while self.documents and self.documents.held and time.monotonic() < deadline:
            time.sleep(0.005)
        if stored and not (self.documents and self.documents.held):
            for name in self._ready:
                self._journal.add(name)
        self._ready.clear()


class _Finisher:
    """The sink of finished files."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def write(self, batch: list[Whole]) -> None:
        self._stores.finish(batch)

    def close(self) -> None:
        self._stores.close()


class _Passing:
    """A writer that others close."""

    def __init__(self, write: Callable[[list[Any]], None]) -> None:
        self.write = write

    def close(self) -> None:
        """Nothing: it is closed with the last of the import's writers."""


class Meter:
    """The progress bar, and the figures at the end."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), console=Console(stderr=True), disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._task = self._progress.add_task("importing", total=None, rate="")
        self._begun_s = 0.0
        self.trades = 0
        self.files = 0
        self.failed = 0

    def expect(self, files: int) -> None:
        """So many files are to be imported."""
        self._progress.update(self._task, total=files)

    def on_trades(self, file: ArchiveFile, trades: int) -> None:
        """A file begins (0), or so many of its trades are read."""
        if not self._begun_s:
            self._begun_s = time.monotonic()
            self._progress.start()
        if trades:
            self.trades += trades
            self._progress.update(self._task, rate=f"{self.rate:,.0f} trades/s")
            return
        self.files += 1
        self._progress.update(self._task, completed=self.files - 1, description=file.name)
        _log.info("importing", file=file.name)

    def on_failure(self, file: ArchiveFile, error: ArchiveError) -> None:
        """A file cannot be used."""
        self.failed += 1
        _log.error("not imported", file=file.name, reason=str(error))

    def on_bytes(self, done: int, total: int) -> None:
        """So much of a file is downloaded."""
        size = f" of {total / 1e6:.1f}" if total else ""
        self._progress.update(self._task, rate=f"downloading {done / 1e6:.1f}{size} MB")

    @property
    def rate(self) -> float:
        """Trades a second since the begin."""
        return self.trades / max(1e-9, time.monotonic() - self._begun_s)

    def end(self) -> None:
        """Takes the bar away."""
        self._progress.stop()


def build_flow(settings: Settings, files: list[ArchiveFile], get: Any, meter: Meter, stores: Stores) -> Dataflow:
    """The flow of the import. Trades go through the machines of the live flow; klines alone become candles as they
    are.
    """
    feed = settings.feed.model_copy(update={"reorder_ms": 0, "close_grace_ms": NEVER_MS, "forming_ms": NEVER_MS})
    venue = feed.venue
    only_klines = not any(file.is_trades for file in files)
    flow = Dataflow("backfill")
    read = op.input(
        "archive", flow, ArchiveSource(venue, files, get, on_trades=meter.on_trades, on_failure=meter.on_failure)
    )
    build = partial(sequence_candles, feed=feed, asks=False)
    traded = machine("sequence_candles_reconcile", read, build, FeedClock())
    built = op.merge("built", only("candles", traded, Candle), op.flat_map_batch("reconcile", traded, recorded))
    if only_klines:
        built = op.merge("all", built, op.flat_map_batch("klines", read, partial(_candles_of, venue)))
    op.output(
        "mongodb",
        op.flat_map_batch("documents", built, partial(together, "mongodb")),
        PartitionedWriterSink(["mongodb"], lambda _: _Passing(stores.write), lambda _: 0),
    )
    if settings.trades.enabled:
        parts = [f"part-{number:02d}" for number in range(settings.trades.partitions)]
        trades = op.flat_map_batch("by_instrument", only("sequence", traded, TradeBatch), by_instrument)
        sink = PartitionedWriterSink(
            parts, lambda part: _Passing(stores.open_trades(part).write), lambda key: part_of(key, len(parts))
        )
        op.output("rocksdb", trades, sink)
    op.output("ledger", only("amiss", traded, Incident), WriterSink(lambda: _Passing(stores.incidents.write)))
    finished = op.flat_map_batch("over", only("files", traded, Whole), lambda told: [w for w in told if w.is_over])
    op.output("journal", finished, WriterSink(lambda: _Finisher(stores)))
    return flow


def _candles_of(venue: str, items: list[tuple[str, Any]]) -> list[Candle]:
    lists = [value for _, value in items if type(value) is list and isinstance(value[0], Kline)]
    return [candle_of_kline(venue, kline) for klines in lists for kline in klines]


def _open_mongo(settings: Settings, ledger: IncidentWriter) -> MongoWriter:
    return open_mongo_writer(
        settings.mongo,
        retention=settings.backfill.retention,
        on_incident=lambda incident: ledger.write([incident]),
        venue=settings.feed.venue,
        summary_s=settings.log.summary_s,
    )


def _files(settings: Settings, meter: Callable[[int, int], None]) -> tuple[list[ArchiveFile], Any]:
    """What to import, and how to get at it."""
    backfill, feed = settings.backfill, settings.feed
    first, behind = backfill.start, backfill.end or datetime.now(UTC).date()
    kinds = [TRADES] * ("trades" in backfill.kinds) + list(feed.timeframes) * ("klines" in backfill.kinds)
    if backfill.source != "archive":
        begin = _ms(first) if first else 0
        end = _ms(backfill.end) if backfill.end else NEVER_MS * 10
        found = [(f, p) for f, p in files_in(Path(backfill.source), feed.symbols, begin, end) if f.kind in kinds]
        if not found:
            raise ArchiveError(f"{backfill.source} holds no files of {', '.join(feed.symbols)} for these days")
        paths = dict(found)

        def local(file: ArchiveFile) -> Path:
            check(paths[file])
            return paths[file]

        return [file for file, _ in found], local
    if first is None:
        raise SettingsError("backfill.start: say from which day on, as in MARKETFLOW_BACKFILL__START=2024-10-01")
    downloader = Downloader(backfill.archive_url, backfill.cache, on_bytes=meter)
    files = [file for symbol in feed.symbols for kind in kinds for file in files_for(symbol, kind, first, behind)]
    files.sort(key=lambda file: (file.symbol, file.begin, file.is_trades, file.name))

    def download(file: ArchiveFile) -> Path | None:
        path = downloader.get(file, feed.venue)
        if path is None:
            _log.warning("the archive does not have it", file=file.name)
        return path

    return files, download


def _ms(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_MS


def _end_on_signals() -> None:
    """An import can be broken off at any moment: what was finished is noted."""

    def on_signal(number: int, _: FrameType | None) -> None:
        _log.warning("broken off; run it again to go on", signal=signal.Signals(number).name)
        os._exit(128 + number)

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)


def _feed_for_import(settings: Settings) -> Feed:
    """Files hold aggregates, and no running klines."""
    return settings.feed.model_copy(update={"streams": ("aggTrade",)})


def _build() -> Dataflow:
    try:
        settings = load_settings()
        settings = settings.model_copy(update={"feed": _feed_for_import(settings)})
        set_up_logs(settings.log)
        mongo, trades = settings.mongo, settings.trades
        stores_name = f"{mongo.uri}/{mongo.database} {trades.path.absolute()}"
        journal = Journal(settings.backfill.cache / "imported.json", stores=stores_name)
        meter = Meter()
        files, get = _files(settings, meter.on_bytes)
        new = [file for file in files if file.name not in journal]
        meter.expect(len(new))
        stores = Stores(settings, journal)
        built = build_flow(settings, new, get, meter, stores)
    except (SettingsError, ArchiveError, TradeStoreError, ValueError) as error:
        sys.exit(f"marketflow: {error}")
    _end_on_signals()
    _log.info("importing", files=len(new), imported_before=len(files) - len(new), stores=stores_name)
    _say_at_exit(meter, stores)
    return built


def _say_at_exit(meter: Meter, stores: Stores) -> None:
    def say() -> None:
        meter.end()
        proofs = {f"candles_{proof.replace(' ', '_')}": count for proof, count in stores.proofs.items() if proof}
        _log.info("imported", files=meter.files, trades=meter.trades, trades_per_s=round(meter.rate), **proofs)
        if meter.failed:
            _log.error("some files were not imported", files=meter.failed)
            sys.stderr.flush()
            os._exit(1)

    atexit.register(say)


def __getattr__(name: str) -> Dataflow:
    """`flow` is built when the engine asks for it, so that the parts can be imported without starting anything."""
    if name == "flow":
        return _build()
    raise AttributeError(name)
