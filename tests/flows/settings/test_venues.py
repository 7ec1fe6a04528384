"""Sections of venues: what they take from `[feed]`, where they are written, and what is refused."""

from pathlib import Path

import pytest

from flows.settings import SettingsError, load_settings

PLAYED = 'origin = "replay"\nws_url = "ws://127.0.0.1:1"\nrest_url = "http://127.0.0.1:1"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str, name: str = "marketflow.toml") -> None:
    (folder / name).write_text(text)


def test_without_sections_there_is_the_one_venue_of_the_feed() -> None:
    settings = load_settings(feed={"venue": "binance-usdm"})
    assert settings.by_venue == {"binance-usdm": settings.feed}
    assert settings.first_feed is settings.feed


def test_what_a_venue_does_not_set_is_as_in_the_feed(folder: Path) -> None:
    write(
        folder,
        '[feed]\ntimeframes = "1m,15m"\nsymbols = "SOLUSDT"\nreorder_ms = 300\n'
        '[venues.binance]\nreorder_ms = 400\n[venues.binance-usdm]\nsymbols = "BTCUSDT"\n' + PLAYED,
    )
    venues = load_settings().by_venue
    spot, futures = venues["binance"], venues["binance-usdm"]
    assert list(venues) == ["binance", "binance-usdm"]
    assert (spot.venue, spot.symbols, spot.timeframes, spot.reorder_ms) == ("binance", ("SOLUSDT",), ("1m", "15m"), 400)
    assert (futures.symbols, futures.timeframes, futures.reorder_ms) == (("BTCUSDT",), ("1m", "15m"), 300)
    assert (spot.origin, futures.origin) == ("live", "replay")


def test_only_the_venue_of_the_feed_has_its_addresses(folder: Path) -> None:
    write(folder, "[feed]\n" + PLAYED + "[venues.binance]\n[venues.binance-usdm]\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "venues.binance-usdm.ws_url: the origin is replay: write the address" in str(caught.value)
    assert "venues.binance." not in str(caught.value)


@pytest.mark.parametrize("name", ["marketflow.yaml", "marketflow.json"])
def test_the_file_may_be_yaml_or_json(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SYMBOLS", "SOLUSDT,XRPUSDT")
    written = {
        "marketflow.yaml": "feed:\n  symbols: ${MY_SYMBOLS}\nvenues:\n  binance:\n    timeframes: [1m, 5m]\n",
        "marketflow.json": '{"feed": {"symbols": "${MY_SYMBOLS}"}, "venues": {"binance": {"timeframes": "1m,5m"}}}',
    }
    write(folder, written[name], name)
    [feed] = load_settings().by_venue.values()
    assert (feed.symbols, feed.timeframes) == (("SOLUSDT", "XRPUSDT"), ("1m", "5m"))


def test_variables_name_a_venue_with_an_underscore(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "[venues.binance-usdm]\nsymbols = ['BTCUSDT']\n")
    monkeypatch.setenv("MARKETFLOW_VENUES__BINANCE_USDM__SYMBOLS", "ETHUSDT,XRPUSDT")
    monkeypatch.setenv("MARKETFLOW_VENUES__BINANCE", '{"symbols": ["SOLUSDT"], "reorder_ms": 7}')
    monkeypatch.setenv("MARKETFLOW_VENUES__BINANCE__REORDER_MS", "8")
    found = {name: (feed.symbols, feed.reorder_ms) for name, feed in load_settings().by_venue.items()}
    assert found == {"binance": (("SOLUSDT",), 8), "binance-usdm": (("ETHUSDT", "XRPUSDT"), 200)}


def test_a_venue_may_be_off_and_the_first_one_answers_for_all(folder: Path) -> None:
    write(folder, "[venues.binance]\nenabled = false\n[venues.binance-usdm]\n")
    settings = load_settings()
    assert list(settings.by_venue) == ["binance-usdm"]
    assert settings.first_feed.venue == "binance-usdm"


def test_the_venue_of_the_feed_is_the_first(folder: Path) -> None:
    write(folder, '[feed]\nvenue = "binance-usdm"\n[venues.binance]\n[venues.binance-usdm]\n')
    assert list(load_settings().by_venue) == ["binance-usdm", "binance"]


def test_the_symbols_of_a_venue_have_its_form(folder: Path) -> None:
    write(folder, "[venues.kraken]\n[venues.coinbase]\nsymbols = 'eth-usd'\n")
    found = {name: feed.symbols for name, feed in load_settings().by_venue.items()}
    assert found == {"kraken": ("BTC-USD", "ETH-USD"), "coinbase": ("ETH-USD",)}
    write(folder, "[feed]\nsymbols = 'BTCUSDT'\n[venues.kraken]\n")
    with pytest.raises(
        SettingsError, match=r"venues\.kraken\.symbols: BTCUSDT: kraken lists pairs, write as in BTC-USD"
    ):
        load_settings()


def test_each_venue_decides_on_its_own_retention(folder: Path) -> None:
    write(folder, "[venues.binance]\n[venues.binance-usdm]\n" + PLAYED)
    settings = load_settings()
    assert (settings.holds_retention("binance"), settings.holds_retention("binance-usdm")) == (True, False)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[venues.krakn]\n", "venues.krakn: no such venue; venues are binance"),
        ("[venues.binance]\nsymbol = 'A'\n", "venues.binance.symbol: no such setting; those of venues.binance are"),
        ("[venues.binance]\nsymbols = 'A/B'\n", "venues.binance.symbols: 'A/B' is no symbol"),
        ("[venues.binance]\n\nsymbols = 'A/B'\n", "marketflow.toml, line 3)"),
        ("[venues.binance]\nvenue = 'binance'\n", "venues.binance.venue: leave it out"),
        ("[venues.binance]\nenabled = false\n", "venues: none of them is enabled"),
        ("[venues]\nbinance = 3\n", "venues.binance: 3 ("),
        ("venues = 3\n", "venues: 3 ("),
        (
            "[feed]\nvenue = 'binance'\n[venues.binance-usdm]\n",
            "feed.venue: this venue is not enabled: choose from",
        ),
        ("[hub]\ntoken = '${NO_SUCH_NAME}'\n", "hub.token: the environment has no variable 'NO_SUCH_NAME' ("),
    ],
)
def test_an_error_names_the_key_and_what_to_write(folder: Path, text: str, error: str) -> None:
    write(folder, text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert error in str(caught.value)


def test_what_is_wrong_in_the_feed_is_named_once(folder: Path) -> None:
    write(folder, "[feed]\nsymbols = 'A/B'\n[venues.binance]\n[venues.binance-usdm]\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).count("A/B") == 2  # in the text, and as the value
    assert "feed.symbols" in str(caught.value)
    assert "venues." not in str(caught.value)
