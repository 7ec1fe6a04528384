"""A Parquet file of many frames with flat memory: polars takes them one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flows.modules.late import late_module

if TYPE_CHECKING:
    import polars as pl
    from polars.io import plugins
else:
    pl, plugins = late_module("polars"), late_module("polars.io.plugins")


def write_parquet(path: Path, empty: pl.DataFrame, frames: Iterable[pl.DataFrame], *, level: int | None = None) -> None:
    """Writes frames with the columns of `empty`, in their order, compressed by zstd at a level. What `frames` raises
    ends it; the file is then no use.
    """
    faults: list[BaseException] = []

    def source(*_: object) -> Iterator[pl.DataFrame]:
        try:
            yield from frames
        except BaseException as error:  # noqa: BLE001 - polars would make its own error of it
            faults.append(error)

    rows = plugins.register_io_source(source, schema=empty.schema)
    rows.sink_parquet(path, maintain_order=True, compression_level=level)
    if faults:
        raise faults[0]
