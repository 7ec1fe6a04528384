from pathlib import Path

import pytest

from sinks.trades.begins import DIRECTORY, FirstTrade, TradeBegins


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC-USD", "币安人生USDT", "../../etc"])
def test_what_was_written_is_read_and_replaced(tmp_path: Path, symbol: str) -> None:
    begins = TradeBegins(tmp_path / "binance")
    assert begins.read(symbol) is None
    begins.write(symbol, FirstTrade(7, 1_000))
    begins.write(symbol, FirstTrade(8, 2_000))
    assert TradeBegins(tmp_path / "binance").read(symbol) == FirstTrade(8, 2_000)
    [file] = (tmp_path / "binance" / DIRECTORY).iterdir()
    assert file.suffix == ".json"


@pytest.mark.parametrize("content", [b"", b"{", b'{"id": "a"}', b"\xff"])
def test_a_damaged_file_is_no_knowledge(tmp_path: Path, content: bytes) -> None:
    begins = TradeBegins(tmp_path)
    begins.write("BTCUSDT", FirstTrade(7, 1_000))
    (tmp_path / DIRECTORY / "BTCUSDT.json").write_bytes(content)
    assert begins.read("BTCUSDT") is None


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        TradeBegins(tmp_path / "file").write("BTCUSDT", FirstTrade(7, 1_000))


def test_symbols_with_a_first_trade_are_listed(tmp_path: Path) -> None:
    begins = TradeBegins(tmp_path)
    assert begins.symbols() == []
    for symbol in ("ETHUSDT", "BTC-USD", "币安人生USDT"):
        begins.write(symbol, FirstTrade(7, 1_000))
    assert begins.symbols() == ["BTC-USD", "ETHUSDT", "币安人生USDT"]


def test_what_retention_deleted_is_noted_once_it_is_behind_the_first_trade(tmp_path: Path) -> None:
    begins = TradeBegins(tmp_path)
    begins.note_deleted("BTCUSDT", 5_000)
    assert begins.read("BTCUSDT") is None
    begins.write("BTCUSDT", FirstTrade(7, 1_000))
    for until, noted in ((1_000, 0), (5_000, 5_000), (4_000, 5_000), (6_000, 6_000)):
        begins.note_deleted("BTCUSDT", until)
        assert begins.read("BTCUSDT") == FirstTrade(7, 1_000, noted)
