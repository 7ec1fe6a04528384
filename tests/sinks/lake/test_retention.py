"""Trades are deleted for their age only when the lake has them."""

from pathlib import Path

import pytest

from flows.model import DAY_MS, Incident
from sinks.lake.manifest import LakeError
from sinks.lake.place import Lake
from sinks.lake.retention import deletable_of
from sinks.lake.series import LakeSeries
from sinks.lake.writer import SeriesWriter
from sinks.trades.compaction import Clocks, TradeCompactor
from sinks.trades.store import TradeStore
from tests.fakes.trades import BEGIN
from tests.sinks.lake.test_writer import Stored, rows
from tests.sinks.trades.test_compaction import add, starts

SERIES = LakeSeries("binance", "trades", "BTCUSDT")
DAY_1, DAY_2 = "2026-01-01", "2026-01-02"


def write(root: Path, *days: str) -> None:
    lake = Lake(root)
    with lake.writing():
        writer = SeriesWriter(lake, SERIES, wall_ms=lambda: 7)
        for day in days:
            writer.write(day, Stored(rows(1)))


def test_what_the_lake_does_not_have_is_kept_and_that_is_said_once(tmp_path: Path) -> None:
    said: list[Incident] = []
    hours = iter(range(99))
    with TradeStore(tmp_path / "store") as store:
        compactor = TradeCompactor(
            store,
            retention_days=1,
            merge_after_minutes=60,
            venue="binance",
            clocks=Clocks(venue_now=lambda: BEGIN + 30 * DAY_MS),
            deletable=deletable_of(tmp_path / "lake", "binance"),
            on_incident=said.append,
            local_ms=lambda: next(hours) * 3_600_000,
        )
        at = [DAY_MS // 2, DAY_MS + 5_000, 2 * DAY_MS + 5_000, 9 * DAY_MS]
        add(store, None, *enumerate(at, 1))
        assert [compactor.expire(), compactor.expire(), starts(store)] == [[], [], at]
        assert [one.kind for one in said] == ["retention"]
        assert (
            said[0].cause
            == "trades from 2026-01-01T12:00:00+00:00 on are old enough to be deleted, and are not in the lake"
        )

        write(tmp_path / "lake", DAY_1)
        assert [compactor.expire(), starts(store)] == [["BTCUSDT"], at[1:]]
        (tmp_path / "lake" / SERIES.file(DAY_1)).write_bytes(b"damaged")
        write(tmp_path / "lake", DAY_2)
        assert [compactor.expire(), starts(store)] == [["BTCUSDT"], at[2:]]  # what is gone is not looked for
        (tmp_path / "lake" / SERIES.manifest).write_text("damaged")
        assert compactor.expire() == []
        assert [one.cause[:30] for one in said] == ["trades from 2026-01-01T12:00:0"]

    root = tmp_path / "lake"
    (root / SERIES.manifest).unlink()
    write(root, DAY_1)
    permitted = deletable_of(root, "binance")
    assert permitted is not None
    assert permitted("BTCUSDT", BEGIN + 5) == BEGIN + DAY_MS
    assert permitted("BTCUSDT", BEGIN + DAY_MS) == permitted("ETHUSDT", BEGIN) == 0
    (root / SERIES.file(DAY_1)).write_bytes(b"damaged")
    with pytest.raises(LakeError):
        permitted("BTCUSDT", BEGIN)
    assert deletable_of(None, "binance") is None
