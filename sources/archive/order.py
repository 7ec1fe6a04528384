"""Sorts the rows of a file by id, each once, in bounded memory.

The exchange's files are in order. One that is not, because it was assembled from pieces, is split into temporary files:
each holds a range of ids that fits into memory.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import polars as pl

FEW_BLOCKS = 7
"""Most blocks that are sorted in memory."""
STRETCH_IDS = 100_000
"""Ids per range that is sorted at once, for larger files."""
MOST_STRETCHES = 10_000
"""Most ranges; with more, the ids are not plausible."""
_STRETCH = "stretch"


class OrderError(Exception):
    """Rows cannot be sorted; the text gives the reason."""


def in_order(
    blocks: Iterator[pl.DataFrame], is_in_order: Callable[[], bool], *, few: int = FEW_BLOCKS
) -> Iterator[pl.DataFrame]:
    """The rows of all blocks, ids rising, none twice. For more than `few` blocks `is_in_order` returns whether they are
    in order already. `OrderError` when two rows of one id differ, or ids lie too far apart.
    """
    head = list(islice(blocks, few + 1))
    if len(head) <= few:
        if head:
            yield _sorted(pl.concat(head))
    elif is_in_order():
        yield from _all(head, blocks)
    else:
        yield from _sorted_on_disk(_all(head, blocks))


def _all(head: list[pl.DataFrame], rest: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The blocks read ahead, each released as it is yielded, and the others."""
    while head:
        yield head.pop(0)
    yield from rest


def are_rising(blocks: Iterable[pl.DataFrame]) -> bool:
    """Whether the ids of blocks rise from row to row."""
    last = -1
    for block in blocks:
        ids = block["id"]
        if not ids.len():
            continue
        if ids[0] <= last or not _rise(ids):
            return False
        last = ids[-1]
    return True


def _rise(ids: pl.Series) -> bool:
    steps = ids.diff().drop_nulls()
    return not steps.len() or bool((steps > 0).all())


def _sorted(rows: pl.DataFrame) -> pl.DataFrame:
    if _rise(rows["id"]):
        return rows
    apart = rows.unique().sort("id")
    same = apart.filter(pl.col("id").is_duplicated())
    if same.height:
        raise OrderError(f"it has two trades of id {same['id'][0]} that differ")
    return apart


def _sorted_on_disk(blocks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    with tempfile.TemporaryDirectory(prefix="marketflow-import-") as name:
        folder = Path(name)
        for number in sorted(_spread(blocks, folder)):
            pieces = sorted(folder.glob(f"{number}-*.arrow"))
            yield _sorted(pl.concat([pl.read_ipc(piece) for piece in pieces]))
            for piece in pieces:
                piece.unlink()


def _spread(blocks: Iterable[pl.DataFrame], folder: Path) -> set[int]:
    """Writes the rows into files by ranges of ids; returns the numbers of the ranges."""
    numbers: set[int] = set()
    for place, block in enumerate(blocks):
        stretches = block.with_columns((pl.col("id") // STRETCH_IDS).alias(_STRETCH))
        numbers.update(stretches[_STRETCH].unique())
        if len(numbers) > MOST_STRETCHES:
            raise OrderError("its ids lie too far apart for those of one symbol")
        for piece in stretches.partition_by(_STRETCH):
            number = piece[_STRETCH][0]
            piece.drop(_STRETCH).unique().write_ipc(folder / f"{number}-{place}.arrow", compression="lz4")
    return numbers
