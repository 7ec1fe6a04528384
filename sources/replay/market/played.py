"""Trades of a segment that has been played, as they are kept for REST."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from sources.replay.market.aggregate import TRADE, aggregates_of


class Played(Protocol):
    """Trades and aggregates of a time that is over."""

    @property
    def rows(self) -> int:
        """How many trades."""

    def trades(self) -> pl.DataFrame:
        """The trades (`TRADE`)."""

    def aggregates(self) -> pl.DataFrame:
        """The aggregates (`AGGREGATE`)."""


class PlayedFrames:
    """Both as they were played."""

    def __init__(self, trades: pl.DataFrame, aggregates: pl.DataFrame) -> None:
        self._trades, self._aggregates = trades, aggregates
        self.rows = trades.height

    def trades(self) -> pl.DataFrame:
        """The trades."""
        return self._trades

    def aggregates(self) -> pl.DataFrame:
        """The aggregates."""
        return self._aggregates


class PlayedTrades:
    """Trades of which each has one time and the id after that of the one before, and whose aggregates are made of them.

    A trade is 5 to 12 bytes, where the two frames have 130; frames are made when they are wanted, with the places in
    which they were sent left 0.
    """

    __slots__ = ("_aggregate_id", "_first_id", "_makers", "_price", "_quantity", "_time", "rows")

    def __init__(self, trades: pl.DataFrame, aggregates: pl.DataFrame) -> None:
        self.rows = trades.height
        self._first_id, self._aggregate_id = (int(trades["id"][0]), int(aggregates["id"][0])) if self.rows else (0, 0)
        self._time, self._price, self._quantity = (_packed(trades[name]) for name in ("time", "price", "quantity"))
        self._makers = np.packbits(trades["maker"].to_numpy()).tobytes()

    @property
    def bytes_held(self) -> int:
        """How many bytes its numbers take."""
        return len(self._makers) + sum(len(one.numbers) for one in (self._time, self._price, self._quantity))

    def trades(self) -> pl.DataFrame:
        """The trades."""
        time = pl.Series(_unpacked(self._time))
        makers = np.unpackbits(np.frombuffer(self._makers, np.uint8), count=self.rows)
        return pl.DataFrame(
            {
                "id": np.arange(self._first_id, self._first_id + self.rows),
                **dict.fromkeys(("time", "event_time", "due"), time),
                "place": np.zeros(self.rows, np.int64),
                "price": _unpacked(self._price),
                "quantity": _unpacked(self._quantity),
                "maker": makers.astype(np.bool_),
            },
            schema=TRADE,
        )

    def aggregates(self) -> pl.DataFrame:
        """The aggregates."""
        return aggregates_of(self.trades(), self._aggregate_id)


class _Packed(NamedTuple):
    """Whole numbers as what they have above the least, in as few bytes as hold the largest."""

    least: int
    form: str
    numbers: bytes


def _packed(column: pl.Series) -> _Packed:
    values = column.to_numpy()
    if not values.size:
        return _Packed(0, "u1", b"")
    above = values - values.min()
    form = np.min_scalar_type(above.max())
    return _Packed(int(values.min()), form.str, above.astype(form).tobytes())


def _unpacked(packed: _Packed) -> npt.NDArray[np.int64]:
    return np.frombuffer(packed.numbers, packed.form).astype(np.int64) + packed.least
