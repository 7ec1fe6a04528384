"""What a verification is to look at: its options, and what of it is stored, of which venue."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from msgspec import Struct, structs
from pymongo.database import Database

from flows.backup.place import Place
from flows.foreign import visible
from flows.verification.stores import VenueStores
from sinks.trades.begins import TradeBegins
from sinks.trades.reader import TradeReader

SETTLE_S = 180.0
"""Time before the newest trade or candle that is left out, as repairs may be running."""
CONFIRM_S = 1.0
"""Delay before findings are checked again, as a live flow writes while the stores are read one after the other."""


class CannotRunError(Exception):
    """The verification cannot run; the text is the reason in one line."""


class Options(Struct, frozen=True):
    """Options of a run."""

    symbols: tuple[str, ...] = ()
    """Default: all that are stored."""
    timeframes: tuple[str, ...] = ()
    """Default: all that are stored."""
    start: int = 0
    """With `end` the open times `[start, end)`, ms UTC."""
    end: int = 1 << 62
    settle_s: float = SETTLE_S
    confirm_s: float = CONFIRM_S
    against: str = ""
    """`rest`, a folder with files of the exchange's archive, or nothing."""
    repair: bool = False


def chosen(what: str, names: Sequence[str], stored: Sequence[str], *, may_lack: bool = False) -> list[str]:
    """The chosen ones of the stored names; all without a choice. Without any there must be something else stored."""
    if unknown := [name for name in names if name not in stored]:
        there = ", ".join(map(visible, stored[:20])) or "none"
        raise CannotRunError(f"--{what}: {', '.join(map(visible, unknown))} not stored; there are {there}")
    if not stored and not may_lack:
        raise CannotRunError("the stores are empty: start the flow, or set mongo.database and trades.path")
    return list(dict.fromkeys(names)) or list(stored)


def with_data(
    places: list[Place], database: Database[dict[str, Any]], options: Options
) -> Iterator[tuple[Place, Options]]:
    """Of several venues those with stored data of what is chosen, each with the chosen symbols that it has.
    `CannotRunError` for a symbol that none has, and where nothing is stored at all.
    """
    stored = [(place, _symbols_in(place, database)) for place in places]
    chosen("symbols", options.symbols, sorted({symbol for _, symbols in stored for symbol in symbols}))
    for place, symbols in stored:
        own = tuple(symbol for symbol in options.symbols if symbol in symbols)
        if own or (symbols and not options.symbols):
            yield place, structs.replace(options, symbols=own)


def _symbols_in(place: Place, database: Database[dict[str, Any]]) -> list[str]:
    venue = place.settings.feed.venue
    with ExitStack() as opened:
        is_there = place.trades is not None and (place.trades / venue).exists()
        reader = opened.enter_context(TradeReader(place.trades / venue)) if place.trades and is_there else None
        begins = TradeBegins(place.trades / venue) if place.trades and is_there else None
        return VenueStores(database, reader, venue=venue, begins=begins).symbols()
