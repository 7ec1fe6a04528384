"""Stored candles, trades, bars of trades, statistics and incidents as files of any length, sent part by part with flat
memory.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.web import ContentCoding
from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.params import BarSize, bar_rule
from api.http.responses import accepts_gzip
from api.http.route import (
    STORE_ERRORS,
    SYMBOL_ERRORS,
    AnyRoute,
    RawRoute,
    Symbol,
    Time,
    Timeframe,
    Venue,
    check_timeframe,
)
from api.services import Services
from flows.modules.late import late_module
from flows.names import SYMBOL_CHARACTERS, SYMBOL_LENGTH, TEXT_END
from sinks.bars.rule import BarKind
from sinks.bars.span import SpanBars
from sinks.export.formats import KINDS, LEVEL, Encoder, Format
from sinks.export.parquet import write_parquet
from sinks.lake.manifest import LakeError
from sinks.mongo.documents import DocumentError
from sinks.trades.codec import END_MS

if TYPE_CHECKING:
    import polars as pl

    from sinks import dataframes
    from sinks.bars import frame as bar_frames
    from sinks.export import rows
else:
    bar_frames = late_module("sinks.bars.frame")
    pl, dataframes, rows = late_module("polars"), late_module("sinks.dataframes"), late_module("sinks.export.rows")

AT_ONCE: Final = 8
"""Exports that are sent at the same time; further ones are refused for the moment."""
RETRY_S: Final = 5
PIECE_BYTES: Final = 1 << 20
ERRORS: Final = ("bad_request", *SYMBOL_ERRORS, *STORE_ERRORS, "not_ready")
_ENVELOPE: Final = (b'{"success":true,"data":', b',"error":null}\n')

Bom: TypeAlias = Annotated[bool, Meta(description="begin CSV with a byte order mark, for Excel")]
Rows: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000_000, description="at most so many rows, the first ones")]


class ExportedSpan(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rows whose time is in `[start, end)`, oldest first."""

    venue: Venue = ""
    start: Time = 0
    end: Time = END_MS
    limit: Rows = 1_000_000_000
    format: Format = "csv"
    bom: Bom = False


class OfInstrument(ExportedSpan, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rows of an instrument."""

    symbol: Symbol


class OfSeries(OfInstrument, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The candles of an instrument and timeframe."""

    timeframe: Timeframe


class OfBars(OfInstrument, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bars of an instrument's trades."""

    kind: BarKind = "time"
    size: BarSize = "1m"


class OfLedger(ExportedSpan, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The incidents of a venue, or of an instrument and its whole venue."""

    symbol: Annotated[str, Meta(pattern=f"^({SYMBOL_CHARACTERS}{{1,{SYMBOL_LENGTH}}})?{TEXT_END}")] = ""


class Exports:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._under_way = 0

    async def candles(self, request: web.Request, params: OfSeries) -> web.StreamResponse:
        """The stored candles of a symbol as a file; `format` is csv, json, ndjson, arrow or parquet."""
        check_timeframe(params.timeframe)
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        selection = rows.Selection("candles", symbol, params.start, params.end, params.timeframe)
        return await self._send(request, venue, selection, params)

    async def trades(self, request: web.Request, params: OfInstrument) -> web.StreamResponse:
        """The stored trades of a symbol as a file."""
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        return await self._send(request, venue, rows.Selection("trades", symbol, params.start, params.end), params)

    async def bars(self, request: web.Request, params: OfBars) -> web.StreamResponse:
        """Bars of a symbol's stored trades as a file: of any length of time, or of so many trades, volume or value."""
        rule = bar_rule(params.kind, params.size)
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        selection = rows.Selection("bars", symbol, params.start, params.end, f"{params.kind}-{params.size}", rule)
        return await self._send(request, venue, selection, params)

    async def statistics(self, request: web.Request, params: OfInstrument) -> web.StreamResponse:
        """The stored 24-hour statistics of a symbol as a file, the newest of each minute."""
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        return await self._send(request, venue, rows.Selection("statistics", symbol, params.start, params.end), params)

    async def incidents(self, request: web.Request, params: OfLedger) -> web.StreamResponse:
        """The incidents of a venue as a file."""
        instruments = self._services.instruments
        symbol: str | None = None
        if params.symbol:
            venue, symbol = await instruments.find(params.symbol, params.venue)
        else:
            venue = await instruments.venue(params.venue)
        return await self._send(request, venue, rows.Selection("incidents", symbol, params.start, params.end), params)

    async def _send(
        self, request: web.Request, venue: str, selection: rows.Selection, params: ExportedSpan
    ) -> web.StreamResponse:
        if self._under_way >= AT_ONCE:
            raise Problem("not_ready", f"{AT_ONCE} exports are under way; try again", retry_after_s=RETRY_S)
        self._under_way += 1
        try:
            async with aclosing(self._rows(venue, selection, params.limit)) as frames:
                if params.format == "parquet":
                    return await _send_parquet(request, _headers(venue, selection, params), frames, selection)
                return await _send_parts(request, _headers(venue, selection, params), frames, selection, params)
        finally:
            self._under_way -= 1

    async def _rows(self, venue: str, selection: rows.Selection, limit: int) -> AsyncGenerator[pl.DataFrame, None]:
        reads = {"trades": self._trades, "bars": self._bars}
        async with aclosing(reads.get(selection.kind, self._documents)(venue, selection)) as frames:
            async for frame in frames:
                yield frame.head(limit)
                limit -= min(limit, frame.height)
                if not limit:
                    return

    async def _trades(self, venue: str, selection: rows.Selection) -> AsyncGenerator[pl.DataFrame, None]:
        columns = rows.empty_frame("trades").columns[:-1]
        found = self._services.trades.iterate(venue, selection.symbol or "", selection.start, selection.end)
        async with aclosing(found) as frames:
            async for frame in frames:
                yield frame.select(columns).with_columns(timestamp=pl.col("time").cast(dataframes.TIMESTAMP))

    async def _bars(self, venue: str, selection: rows.Selection) -> AsyncGenerator[pl.DataFrame, None]:
        _, symbol, start, end, _, rule = selection
        if rule is None:
            return
        archive = self._services.trades
        made = await archive.read(venue, lambda view: SpanBars(view, symbol or "", rule, start, end))
        async with aclosing(archive.each(venue, made)) as parts:
            async for part in parts:
                if part:
                    yield bar_frames.bar_frame(part).with_columns(
                        timestamp=pl.col("open_time").cast(dataframes.TIMESTAMP)
                    )

    async def _documents(self, venue: str, selection: rows.Selection) -> AsyncGenerator[pl.DataFrame, None]:
        settings = self._services.settings
        frames = await asyncio.to_thread(
            dataframes.Frames, settings.mongo, settings.trades.path, venue=venue, lake=self._services.lake
        )
        try:
            found = rows.iterate(frames, selection)
            while (frame := await asyncio.to_thread(next, found, None)) is not None:
                yield frame
        except dataframes.DatabaseAwayError as error:
            raise Problem("store_unavailable", str(error)) from error
        except (DocumentError, LakeError) as error:
            raise Problem("unreadable_data", str(error)) from error
        finally:
            await asyncio.to_thread(frames.close)


async def _send_parts(
    request: web.Request,
    headers: dict[str, str],
    frames: AsyncIterator[pl.DataFrame],
    selection: rows.Selection,
    params: ExportedSpan,
) -> web.StreamResponse:
    first = await anext(frames, None)  # errors are raised before the response begins
    encoder = Encoder(params.format, bom=params.bom)
    before, after = _ENVELOPE if params.format == "json" else (b"", b"")
    response = web.StreamResponse(headers=headers)
    if KINDS[params.format].is_text and accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        response.enable_compression(ContentCoding.gzip)
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    await response.write(before + encoder.begin(rows.empty_frame(selection.kind)))
    if first is not None:
        await response.write(await asyncio.to_thread(encoder.rows, first))
    async for frame in frames:
        await response.write(await asyncio.to_thread(encoder.rows, frame))
    await response.write(encoder.end().rstrip(b"\n") + after if after else encoder.end())
    await response.write_eof()
    return response


async def _send_parquet(
    request: web.Request, headers: dict[str, str], frames: AsyncIterator[pl.DataFrame], selection: rows.Selection
) -> web.StreamResponse:
    """A Parquet file ends with its table of contents, so it is made on disk first."""
    with tempfile.TemporaryDirectory(prefix="marketflow-export-") as folder:
        whole = await _parquet_of(Path(folder), rows.empty_frame(selection.kind), frames)
        response = web.StreamResponse(headers=headers)
        response.content_length = whole.stat().st_size
        await response.prepare(request)
        if request.method == hdrs.METH_HEAD:
            return response
        with whole.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                await response.write(piece)
        await response.write_eof()
        return response


async def _parquet_of(folder: Path, empty: pl.DataFrame, frames: AsyncIterator[pl.DataFrame]) -> Path:
    """Writes a file in a thread, which takes the frames from this loop; it has ended when this does."""
    loop, is_wanted, path = asyncio.get_running_loop(), True, folder / "whole"

    def taken() -> Iterator[pl.DataFrame]:
        while is_wanted:
            frame = asyncio.run_coroutine_threadsafe(_next_of(frames), loop).result()
            if frame is None:
                return
            yield frame

    work = asyncio.ensure_future(asyncio.to_thread(write_parquet, path, empty, taken(), level=LEVEL))
    try:
        await asyncio.shield(work)
    finally:
        is_wanted = False
        await asyncio.wait([work])
    return path


async def _next_of(frames: AsyncIterator[pl.DataFrame]) -> pl.DataFrame | None:
    return await anext(frames, None)


def _headers(venue: str, selection: rows.Selection, params: ExportedSpan) -> dict[str, str]:
    media, is_text = KINDS[params.format]
    described: dict[str, str] = (
        {hdrs.LINK: f'<{link}>; rel="describedby"'} if (link := _proof_of(venue, selection)) else {}
    )
    names = (venue, selection.symbol, selection.timeframe, selection.kind)
    name = "_".join(part for part in names if part).encode("ascii", "replace").decode().replace("?", "_")
    return {
        hdrs.CONTENT_TYPE: f"{media}; charset=utf-8" if is_text else media,
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}.{params.format}"',
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        **described,
    }


def _proof_of(venue: str, selection: rows.Selection) -> str:
    """The address of what is known about the rows; empty where nothing is."""
    kind, symbol, start, end, timeframe, rule = selection
    if kind not in ("candles", "trades", "bars"):
        return ""
    name = quote(symbol or "", safe="")
    path = f"candles/{name}/{timeframe}" if kind == "candles" else f"trades/{name}"
    bars = f"&bars={timeframe.removeprefix('time-')}" if rule and rule.periods else ""
    return f"/api/proof/{path}?venue={venue}&start={start}&end={end}{bars}"


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    exports = Exports(services)
    first, *others = (kind.media for kind in KINDS.values())
    described = (
        ("/api/export/candles/{symbol}/{timeframe}", exports.candles, OfSeries, ERRORS),
        ("/api/export/trades/{symbol}", exports.trades, OfInstrument, (*ERRORS, "trade_store_absent")),
        ("/api/export/bars/{symbol}", exports.bars, OfBars, (*ERRORS, "trade_store_absent")),
        ("/api/export/statistics/{symbol}", exports.statistics, OfInstrument, ERRORS),
        ("/api/export/incidents", exports.incidents, OfLedger, ERRORS),
    )
    return [
        RawRoute("GET", path, handler, first, params, other_media=tuple(others), errors=errors)
        for path, handler, params, errors in described
    ]
