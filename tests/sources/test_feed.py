import pytest

from sources.feed import UnknownSymbolError, check_symbols, shard_of


def test_an_unknown_symbol_is_named_with_its_neighbours() -> None:
    with pytest.raises(UnknownSymbolError) as raised:
        check_symbols(("BTCUSDT", "BTC-USDT", "ETHUSDR"), ["BTCUSDT", "ETHUSDT", "XRPUSDT"])
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("BTC-USDT is not traded there; did you mean BTCUSDT")
    assert lines[1].startswith("ETHUSDR is not traded there; did you mean ETHUSDT")


def test_known_symbols_pass() -> None:
    check_symbols(("BTCUSDT",), ["ETHUSDT", "BTCUSDT"])


def test_a_shard_follows_the_symbol_alone() -> None:
    assert [shard_of(symbol, 4) for symbol in ("BTCUSDT", "ETHUSDT", "XRPUSDT")] == [3, 0, 0]
    assert {shard_of(f"COIN{number}USDT", 4) for number in range(50)} == {0, 1, 2, 3}
