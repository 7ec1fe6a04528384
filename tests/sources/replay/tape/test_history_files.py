from pathlib import Path

import polars as pl

from sources.replay.market.aggregate import TRADE
from sources.replay.market.decimals import decimals_of
from sources.replay.market.history import HISTORY
from sources.replay.market.klines import RunningTotals
from sources.replay.tape.history_files import read_history

DECIMALS = decimals_of("spot", price=1, quantity=0)
MINUTE_MS = 60_000


def totals(*trades: tuple[int, int, int]) -> RunningTotals:
    """Trades from `(time, price, quantity)`; ids count from 1,000."""
    rows = [(1_000 + i, t, t, t, i, p, q, False) for i, (t, p, q) in enumerate(trades)]
    return RunningTotals(pl.DataFrame(rows, schema=TRADE, orient="row"))


def write(folder: Path, interval: str, *rows: str, header: str = "open_time_ms,open,high,low,close,volume") -> None:
    (folder / f"binance_spot_XUSDT_{interval}.csv").write_text("\n".join([header, *rows]) + "\n")


def history(folder: Path, trades: RunningTotals) -> pl.DataFrame:
    return read_history(folder, kind="spot", symbol="XUSDT", decimals=DECIMALS, totals=trades)


def test_the_finest_file_rules_and_longer_ones_reach_further_back(tmp_path: Path) -> None:
    write(tmp_path, "1m", f"{3 * MINUTE_MS},1.0,2.0,0.5,1.5,7", f"{4 * MINUTE_MS},1.5,2.0,0.5,1.2,3")
    write(tmp_path, "3m", "0,0.9,3.0,0.5,1.0,40", f"{3 * MINUTE_MS},1.0,9.0,0.1,1.0,99")
    rows = history(tmp_path, totals((5 * MINUTE_MS, 12, 1)))
    assert rows.columns == list(HISTORY)
    assert rows.select("open_time", "base_ms", "open", "high", "low", "close", "volume").rows() == [
        (0, 180_000, 9, 30, 5, 10, 40),
        (180_000, 60_000, 10, 20, 5, 15, 7),
        (240_000, 60_000, 15, 20, 5, 12, 3),
    ]
    assert rows["trades"].to_list() == [0, 0, 0]
    assert rows["quote"].to_list() == [40 * 15, 7 * 13, 3 * 12]


def test_the_begun_period_is_given_less_the_share_of_the_trades(tmp_path: Path) -> None:
    write(tmp_path, "1m", "0,1.0,3.0,0.5,2.2,50")
    rows = history(tmp_path, totals((30_000, 20, 5), (40_000, 30, 10), (70_000, 22, 1)))
    (rest,) = rows.select("open_time", "open", "high", "low", "close", "volume").rows()
    # The high was made by the trades, the low before them.
    assert rest == (0, 10, 20, 5, 20, 35)


def test_a_share_that_is_not_known_is_not_guessed(tmp_path: Path) -> None:
    write(tmp_path, "1m", "0,1.0,3.0,0.5,2.2,50")
    assert history(tmp_path, totals((30_000, 20, 5), (40_000, 30, 10))).is_empty()
    assert history(tmp_path / "none", totals((30_000, 20, 5))).is_empty()


def test_known_counts_number_the_trades_backwards(tmp_path: Path) -> None:
    header = "open_time_ms,open,high,low,close,volume,quote_volume,count,taker_buy_base,taker_buy_quote"
    write(
        tmp_path, "1m", "0,1.0,3.0,0.5,2.2,50,61.5,4,20,30.1", "60000,1.0,3.0,0.5,2.2,50,61.5,6,20,30.1", header=header
    )
    rows = history(tmp_path, totals((120_000, 20, 5)))
    assert rows.select("first_id", "last_id", "quote", "taker_volume", "taker_quote").rows() == [
        (990, 993, 615, 20, 301),
        (994, 999, 615, 20, 301),
    ]
