"""The first trade ever received of each symbol, durable before anything of the symbol is stored.

A process that is killed before its first flush leaves no trade behind. The next one reads here what it must fetch.
"""

import os
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec
import structlog

log = structlog.get_logger(__name__)

DIRECTORY = "begins"
"""Beside the partitions of a venue; one file for each symbol."""


class FirstTrade(msgspec.Struct, frozen=True):
    """Id and time (ms UTC) of a trade."""

    id: int
    time: int
    deleted_until: int = 0
    """Trades before this time were deleted for their age, ms UTC."""


_decode = msgspec.json.Decoder(FirstTrade).decode


class TradeBegins:
    """The files of one venue, whose trade store is at `path`. The trade is not verified and may be wrong, so the reader
    confirms it with the venue.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / DIRECTORY

    def read(self, symbol: str) -> FirstTrade | None:
        """The first trade of a symbol; None where none is known, or its file cannot be read, which is logged."""
        try:
            return _decode(self._file(symbol).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.warning("first_trade_unreadable", symbol=symbol, path=str(self._path), reason=str(error))
            return None

    def symbols(self) -> list[str]:
        """The symbols of which a first trade is known, in alphabetical order."""
        return sorted(unquote(file.stem) for file in self._path.glob("*.json"))

    def note_deleted(self, symbol: str, until: int) -> None:
        """Notes that the symbol's trades before this time (ms UTC) were deleted for their age, if its first trade is
        known. `OSError` when that fails.
        """
        first = self.read(symbol)
        if first is not None and first.time < until and first.deleted_until < until:
            self.write(symbol, msgspec.structs.replace(first, deleted_until=until))

    def write(self, symbol: str, first: FirstTrade) -> None:
        """Replaces the stored one atomically; durable when it returns. `OSError` when that fails."""
        self._path.mkdir(parents=True, exist_ok=True)
        file = self._file(symbol)
        new = file.with_suffix(".new")
        with new.open("wb") as out:
            out.write(msgspec.json.encode(first))
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)
        if os.name == "nt":  # where a directory cannot be opened, and its entries are in the journal
            return
        directory = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _file(self, symbol: str) -> Path:
        return self._path / f"{quote(symbol, safe='')}.json"
