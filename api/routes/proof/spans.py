"""What is known about the rows of a file that `/api/export/…` sends: the same as in the side file of
`marketflow export`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.params import bar_rule
from api.http.route import (
    AnyRoute,
    Route,
    Symbol,
    Time,
    Timeframe,
    Venue,
    check_timeframe,
)
from api.routes.export import ERRORS, RETRY_S
from api.services import Services
from flows.modules.late import late_module
from flows.names import TEXT_END
from sinks.bars.rule import LENGTH_PATTERN
from sinks.lake.manifest import LakeError
from sinks.mongo.documents import DocumentError
from sinks.trades.codec import END_MS
from sinks.trades.store import RecordError, TradeStoreError

if TYPE_CHECKING:
    from sinks import dataframes
    from sinks.export import proof, rows
else:
    dataframes, proof = late_module("sinks.dataframes"), late_module("sinks.export.proof")
    rows = late_module("sinks.export.rows")

AT_ONCE: Final = 4
"""Spans that are read at the same time; further ones are refused for the moment."""


class _Span(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    symbol: Symbol
    venue: Venue = ""
    start: Time = 0
    end: Time = END_MS


class TradesSpan(_Span, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Trades in `[start, end)`; with `bars` those of bars of that length which open in it."""

    bars: Annotated[str, Meta(pattern=rf"^({LENGTH_PATTERN})?{TEXT_END}")] = ""


class CandlesSpan(_Span, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Candles that open in `[start, end)`."""

    timeframe: Timeframe


class MissingBody(Struct, frozen=True, gc=False):
    """Ids of trades that are missing, both inclusive, and the times of the trades on both sides; of candles -1, and the
    open times of the first and the last period without one.
    """

    first_id: int
    last_id: int
    begin: int
    end: int


class ProofAnswer(Struct, frozen=True):
    """What is known about the rows of `[start, end)`; without bounds of those that are stored. `proof`: `complete` when
    nothing is missing from the trade before to the one behind, or each period has a closed candle, and no candle is in
    doubt; `repaired` when some of it was missing at first; `unproven` for the `reason`. `missing` are trades or periods
    in `gap_count` gaps, of which `gaps` lists the first 100. `statuses` and `proofs` count candles: the rows, or of
    trades those of the shortest timeframe; `not compared` are those whose exchange's version has not arrived yet.
    """

    venue: str
    symbol: str
    timeframe: str
    start: int
    end: int
    proof: str
    reason: str
    missing: int
    gap_count: int
    gaps: list[MissingBody]
    statuses: dict[str, int]
    proofs: dict[str, int]


class Proofs:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._under_way = 0

    async def trades(self, params: TradesSpan) -> ProofAnswer:
        """What the stored trades of a span lack, and what proves them; bars of them the same."""
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        selection = rows.Selection("trades", symbol, params.start, params.end)
        if params.bars:
            selection = selection._replace(kind="bars", timeframe=params.bars, rule=bar_rule("time", params.bars))
        return await self._proven(venue, selection)

    async def candles(self, params: CandlesSpan) -> ProofAnswer:
        """What the stored candles of a span lack, and what proves them."""
        check_timeframe(params.timeframe)
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        return await self._proven(venue, rows.Selection("candles", symbol, params.start, params.end, params.timeframe))

    async def _proven(self, venue: str, selection: rows.Selection) -> ProofAnswer:
        if self._under_way >= AT_ONCE:
            raise Problem("not_ready", f"{AT_ONCE} spans are being read; try again", retry_after_s=RETRY_S)
        self._under_way += 1
        try:
            found = await asyncio.to_thread(self._found, venue, selection)
        except dataframes.DatabaseAwayError as error:
            raise Problem("store_unavailable", str(error)) from error
        except (DocumentError, LakeError, RecordError) as error:
            raise Problem("unreadable_data", str(error)) from error
        except (FileNotFoundError, TradeStoreError) as error:
            raise Problem("trade_store_absent", str(error), retry_after_s=RETRY_S) from error
        finally:
            self._under_way -= 1
        gaps = [MissingBody(gap.first_id, gap.last_id, gap.begin, gap.end) for gap in found.gaps]
        return ProofAnswer(
            venue, selection.symbol or "", selection.timeframe, found.start, found.end, found.proof, found.reason,
            found.missing, found.gap_count, gaps, dict(found.statuses), dict(found.proofs),
        )  # fmt: skip

    def _found(self, venue: str, selection: rows.Selection) -> proof.SpanProof:
        settings = self._services.settings
        with dataframes.Frames(settings.mongo, settings.trades.path, venue=venue, lake=self._services.lake) as frames:
            return proof.prove(frames, selection)


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    proofs = Proofs(services)
    return [
        Route(
            "GET", "/api/proof/candles/{symbol}/{timeframe}", proofs.candles, ProofAnswer, CandlesSpan, errors=ERRORS
        ),
        Route(
            "GET", "/api/proof/trades/{symbol}", proofs.trades, ProofAnswer, TradesSpan,
            errors=(*ERRORS, "trade_store_absent"),
        ),
    ]  # fmt: skip
