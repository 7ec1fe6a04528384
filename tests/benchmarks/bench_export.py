"""Footprints and bars of a day, exports against reading, a long export beside a flow, and the lake.

python -m tests.benchmarks.bench_export

The symbol trades 1.5 million times a day for a week, in a store that another process writes 5,000 trades a second into.
Figures are CPU time of the process that reads, and its largest memory; it takes some four minutes.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, get_args

import structlog
from pymongo import MongoClient

from api.analytics.footprint import FootprintMaker
from flows.model import DAY_MS
from flows.settings import Mongo
from sinks.bars.rule import rule_of
from sinks.bars.span import SpanBars
from sinks.dataframes import Frames
from sinks.export.formats import LEVEL, Encoder, Format
from sinks.export.parquet import write_parquet
from sinks.export.rows import Selection, empty_frame, iterate
from sinks.lake.place import Lake
from sinks.lake.run import LakeChoice, LakeRun
from sinks.lake.trades import older_trades
from sinks.mongod.server import running_mongod
from sinks.trades.reader import TradeReader, TradeView
from tests.benchmarks.bench_analytics import (
    DAYS,
    END,
    QUIET,
    SYMBOL,
    TRADES_PER_DAY,
    build_store,
    live_writer,
    median_s,
)
from tests.benchmarks.rows import Row

DAY: Final = END - 2 * DAY_MS, END - DAY_MS
"""The last day but one: all of it is stored by the minute."""
TICK: Final = 1.0
"""Of a footprint: of 60,000 a few hundred levels an hour."""
WRITES_MORE: Final = 1.3
"""Most memory of an export of a week, by that of one of a day."""


def footprint_of(view: TradeView, timeframe: str, tick: float | None) -> int:
    """The footprints of a day as the interface makes them; returns the number of levels."""
    rule = rule_of("time", timeframe)
    maker = FootprintMaker(rule, tick=tick)
    made = SpanBars(view, SYMBOL, rule, *DAY, watch=maker.take)
    return sum(len(one.levels) for rows in made for one in maker.candles(rows))


def bars_of(view: TradeView, kind: Any, size: str) -> int:
    """The bars of a day; returns their number."""
    return sum(len(rows) for rows in SpanBars(view, SYMBOL, rule_of(kind, size), *DAY))


def made_rows(view: TradeView, where: str, *, goal_s: float) -> list[Row]:
    """Footprints and bars of a day."""
    works: list[tuple[str, Callable[[], int]]] = [
        ("footprint 1h", lambda: footprint_of(view, "1h", None)),
        ("footprint 5m, tick 1", lambda: footprint_of(view, "5m", TICK)),
        ("bars of 1m", lambda: bars_of(view, "time", "1m")),
        ("bars of 1,000 trades", lambda: bars_of(view, "tick", "1000")),
    ]
    return [
        Row(f"{what} of a day, {where}", f"CPU s; {work():,} made", f"{TRADES_PER_DAY:,} trades", median_s(work),
            goal_s, at_most=True)
        for what, work in works
    ]  # fmt: skip


def export_of(frames: Frames, form: Format, folder: Path) -> int:
    """A day's trades as a file; returns its bytes."""
    found = iterate(frames, Selection("trades", SYMBOL, *DAY))
    if form == "parquet":
        path = folder / "file"
        write_parquet(path, empty_frame("trades"), found, level=LEVEL)
        return path.stat().st_size
    encoder = Encoder(form)
    size = len(encoder.begin(empty_frame("trades")))
    return size + sum(len(encoder.rows(frame)) for frame in found) + len(encoder.end())


def export_rows(frames: Frames, folder: Path) -> list[Row]:
    """Each format against reading the same rows and doing nothing with them."""
    read_s = median_s(lambda: sum(frame.height for frame in iterate(frames, Selection("trades", SYMBOL, *DAY))))
    rows = []
    for form in get_args(Format):
        spent_s = median_s(lambda form=form: export_of(frames, form, folder))  # type: ignore[misc]
        size = export_of(frames, form, folder)
        rate = f"{TRADES_PER_DAY / spent_s / 1e6:.1f} M rows/s, {size / 1e6:.0f} MB"
        rows.append(Row(f"export of trades, {form}", rate, f"reading, {read_s:.2f} s", read_s / spent_s, 0.5))
    return rows


MEASURED: Final = """
import sys, time
from pathlib import Path
from flows.command.app import main
code = main(sys.argv[1:])
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(time.process_time(), int(peak.split()[1]) / 1_000)
sys.exit(code)
"""


def exported(path: Path, out: Path, days: int) -> tuple[float, float]:
    """CPU seconds and MB of memory of the command, whose interpreter and libraries are a part of that."""
    span = ("--start", str(END - (days + 1) * DAY_MS), "--end", str(END - DAY_MS))
    command = (sys.executable, "-c", MEASURED, "export", "trades", SYMBOL, *span, "--out", str(out), "--no-proof")
    environment = {**os.environ, "MARKETFLOW_TRADES__PATH": str(path.parent)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    spent_s, peak_mb = map(float, done.stdout.split())
    return spent_s, peak_mb


def long_rows(path: Path, folder: Path) -> list[Row]:
    """An export of nine million rows beside the flow, and its memory by that of one of a day."""
    rows = []
    for ending in ("csv", "parquet"):
        _, one = exported(path, folder / f"day.{ending}", 1)
        spent_s, all_of_it = exported(path, folder / f"week.{ending}", DAYS - 1)
        count = (DAYS - 1) * TRADES_PER_DAY
        figure = f"of the memory of a day; {all_of_it:.0f} MB, {count / spent_s / 1e6:.2f} M rows/s of CPU"
        rows.append(
            Row(f"export of {count / 1e6:g} M trades, {ending}", figure, f"a day, {one:.0f} MB", all_of_it / one,
                WRITES_MORE, at_most=True)
        )  # fmt: skip
    return rows


def lake_rows(frames: Frames, reader: TradeReader, folder: Path) -> list[Row]:
    """Days written and compared, and a day's footprints out of it."""
    with running_mongod(folder / "mongod") as uri, MongoClient[dict[str, Any]](uri) as client:
        lake = Lake(folder / "lake")

        def run() -> None:
            with (
                Frames(Mongo(uri=uri, database="lake"), frames.trades_path, venue=frames.venue) as stored,
                lake.writing(),
            ):
                made = LakeRun(lake, stored, client["lake"], reader, now_ms=None, wall_ms=lambda: END)
                report = made.run(LakeChoice(symbols=(SYMBOL,), kinds=("trades",), every_day=True))
            if report.faults:
                raise RuntimeError(report.faults[0])

        written_s, compared_s = _once(run), _once(run)
    count = DAYS * TRADES_PER_DAY
    rows = [
        Row(
            "lake, days written",
            f"M trades/s of CPU, {written_s:.1f} s",
            f"{count / 1e6:g} M",
            count / written_s / 1e6,
            1,
        ),
        Row(
            "lake, days compared",
            f"M trades/s of CPU, {compared_s:.1f} s",
            f"{count / 1e6:g} M",
            count / compared_s / 1e6,
            3,
        ),
    ]
    with TradeReader(folder / "none", older=older_trades(lake, frames.venue)) as old:
        return [*rows, *made_rows(old, "lake", goal_s=0.75)]


def _once(work: Callable[[], None]) -> float:
    """CPU seconds of a work that is done once."""
    begin = os.times()
    work()
    end = os.times()
    return end.user + end.system - begin.user - begin.system


def run() -> list[Row]:
    """All of it."""
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        path = folder / "trades" / "binance"
        build_store(path)
        with (
            live_writer(path),
            TradeReader(path) as reader,
            Frames(Mongo(), path.parent, venue=path.name) as frames,
        ):
            return [
                *made_rows(reader, "while written", goal_s=0.5),
                *export_rows(frames, folder),
                *long_rows(path, folder),
                *lake_rows(frames, reader, folder),
            ]


if __name__ == "__main__":
    from tests.benchmarks.rows import table

    structlog.configure(wrapper_class=QUIET)
    print(table(run()))  # noqa: T201 - what the command is for
