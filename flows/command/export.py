"""`marketflow export`: stored data as a file."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, TypeAlias

import typer

from flows.command.examples import epilog
from flows.command.outcome import CommandError, say
from flows.texts import counted

if TYPE_CHECKING:
    import polars as pl

    from sinks.bars.rule import BarRule
    from sinks.dataframes import Frames
    from sinks.export.formats import Format
    from sinks.export.rows import Selection

Kind: TypeAlias = Literal["candles", "trades", "bars", "statistics", "incidents"]
Bars: TypeAlias = Literal["time", "tick", "volume", "dollar"]
Form: TypeAlias = Literal["csv", "json", "ndjson", "arrow", "parquet"]


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=epilog("export"))(export)


def export(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="candles, trades, bars, statistics or incidents.")],
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="The venue's own name; incidents need none.")] = "",
    *,
    timeframe: Annotated[str, typer.Option("--timeframe", "-t", help="Of candles.")] = "1m",
    by: Annotated[Bars, typer.Option(help="What ends a bar: time, tick, volume or dollar.")] = "time",
    size: Annotated[
        str, typer.Option(help="Of a bar: 7m, 4h or 1w; trades; an amount of the base or quote currency.")
    ] = "1m",
    start: Annotated[str, typer.Option(help="First time: a day, ISO-8601 or ms; default: the oldest.")] = "",
    end: Annotated[str, typer.Option(help="Time behind the last row; default: the newest.")] = "",
    form: Annotated[
        Form | None,
        typer.Option("--format", "-f", help="csv, json, ndjson, arrow or parquet; default: that of --out."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file; default: standard output.")] = None,
    venue: Annotated[str | None, typer.Option(help="Default: the first of the settings.")] = None,
    proof: Annotated[bool, typer.Option(help="Write the side file.")] = True,
) -> None:
    """Writes stored candles, trades, bars, statistics or incidents to a file, oldest first, also beside a live flow.

    A span of any length takes as much memory as a short one. The file appears when it is complete, and beside it
    FILE.proof.json: its digest, what the span lacks, and what proves the rest (--no-proof leaves it out).
    """
    from flows.dataframes import open_frames
    from flows.settings import load_settings
    from sinks.dataframes import DatabaseAwayError
    from sinks.export.side_file import can_have_side_file
    from sinks.lake.manifest import LakeError
    from sinks.mongo.documents import DocumentError
    from sinks.trades.store import TradeStoreError

    if kind != "incidents" and not symbol:
        raise typer.BadParameter("name the symbol", param_hint="SYMBOL")
    chosen = form or _form_of(out)
    if chosen == "parquet" and out is None:
        raise typer.BadParameter("Parquet needs a file: name it with --out", param_hint="--format")
    selection = _selection(kind, symbol, timeframe, start, end)
    if kind == "bars":
        selection = selection._replace(timeframe="", rule=_rule(by, size))
    try:
        with open_frames(load_settings(), venue=venue) as frames:
            _check_known(frames, selection)
            rows, until = _write(frames, selection, chosen, out)
            if out and proof and can_have_side_file(out):
                of_bars = f"{by} {size}" if kind == "bars" else ""
                _write_side_file(frames, selection, out, rows, until, of_bars)
    except (DatabaseAwayError, DocumentError, LakeError, TradeStoreError, OSError) as error:
        raise CommandError(str(error)) from error
    say(counted(rows, "row") + (f" in {out}" if out else ""))


def _form_of(out: Path | None) -> "Format":
    from sinks.export.formats import FORMATS

    ending = out.suffix.removeprefix(".") if out else ""
    return next((form for form in FORMATS if form == ending), "csv")


def _selection(kind: Kind, symbol: str, timeframe: str, start: str, end: str) -> "Selection":
    from flows.model import timeframe_ms
    from flows.names import symbol_of
    from flows.times import span_ms_of
    from sinks.export.rows import Selection
    from sinks.trades.codec import END_MS

    try:
        timeframe_ms(timeframe)
        begin_ms, end_ms = span_ms_of(start, end, END_MS)
        return Selection(kind, symbol_of(symbol) if symbol else None, begin_ms, end_ms, timeframe)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _check_known(frames: "Frames", selection: "Selection") -> None:
    """`CommandError` for a symbol of which nothing is stored; one without rows in the span has an empty file."""
    from flows.names import did_you_mean, nearest

    if selection.symbol is None or selection.kind == "incidents":
        return
    of_trades = selection.kind in ("trades", "bars")
    known = frames.trade_view().symbols() if of_trades else frames.candle_symbols()
    if selection.symbol not in known:
        what = "trades" if of_trades else "candles"
        hint = did_you_mean(nearest(selection.symbol, known))
        raise CommandError(f"no {what} of {selection.symbol} are stored at {frames.venue}{hint}")


def _rule(by: Bars, size: str) -> "BarRule":
    from sinks.bars.rule import rule_of

    try:
        return rule_of(by, size)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--size") from error


def _write(frames: "Frames", selection: "Selection", form: "Format", out: Path | None) -> tuple[int, int]:
    """Writes the file and returns the number of rows, and the time behind the last one."""
    from flows.process.disk import whole_file
    from sinks.export.formats import LEVEL
    from sinks.export.parquet import write_parquet
    from sinks.export.rows import empty_frame, iterate
    from sinks.export.side_file import can_have_side_file, drop_side_file

    counted = _Counted(iterate(frames, selection))
    if out is None:
        with suppress(BrokenPipeError):
            _write_parts(sys.stdout.buffer, selection, form, counted)
        return counted.rows, counted.until
    with whole_file(out, replaces=True) as place:
        if form == "parquet":
            write_parquet(place, empty_frame(selection.kind), counted, level=LEVEL)
        else:
            with place.open("wb") as file:
                _write_parts(file, selection, form, counted)
        if can_have_side_file(out):
            drop_side_file(out)  # it proves the file that goes now
    return counted.rows, counted.until


def _write_parts(file: BinaryIO, selection: "Selection", form: "Format", frames: "_Counted") -> None:
    from sinks.export.formats import Encoder
    from sinks.export.rows import empty_frame

    encoder, found = Encoder(form), iter(frames)
    first = next(found, None)  # errors of the stores come before the first byte
    file.write(encoder.begin(empty_frame(selection.kind)))
    if first is not None:
        file.write(encoder.rows(first))
    file.writelines(encoder.rows(frame) for frame in found)
    file.write(encoder.end())


def _write_side_file(frames: "Frames", selection: "Selection", out: Path, rows: int, until: int, of_bars: str) -> None:
    """What is known of the span up to the last row: a live flow goes on meanwhile."""
    from datetime import UTC, datetime

    from flows.process.version import version
    from sinks.export.proof import prove
    from sinks.export.side_file import SideFile, size_and_digest, write_side_file

    kind = selection.kind
    known = prove(frames, selection, until=until if rows and kind != "bars" else None)
    size, digest = size_and_digest(out)
    write_side_file(
        out,
        SideFile(
            file=out.name, size=size, sha256=digest, rows=rows, kind=kind, venue=frames.venue,
            symbol=selection.symbol or "", timeframe=of_bars or (selection.timeframe if kind == "candles" else ""),
            completeness=known, made_at=datetime.now(UTC).isoformat(timespec="milliseconds"), version=version(),
        ),
    )  # fmt: skip


class _Counted:
    """Passes frames on and counts their rows."""

    def __init__(self, frames: "Iterator[pl.DataFrame]") -> None:
        self._frames = frames
        self.rows = 0
        self.until = 0
        """Time behind the last row, ms UTC."""

    def __iter__(self) -> "Iterator[pl.DataFrame]":
        for frame in self._frames:
            self.rows += frame.height
            if frame.height:
                self.until = max(self.until, frame["timestamp"].cast(int).item(-1) + 1)
            yield frame
