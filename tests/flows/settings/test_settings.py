import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.uri_parser import parse_uri

from flows.model.secret import Secret
from flows.settings import Feed, Settings, SettingsError, load_settings
from tests.fakes.examples import examples


def _every_setting() -> list[tuple[str, str]]:
    found = []
    for section, in_effect in Settings().in_sections.items():
        found += [(section, key) for key in type(in_effect).model_fields]
    return found


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_safe_and_local() -> None:
    settings = load_settings()
    assert settings.feed.symbols == ("BTCUSDT", "ETHUSDT")
    assert (settings.hub.host, settings.hub.port) == ("127.0.0.1", 8765)
    assert settings.mongo.uri == "mongodb://127.0.0.1:27017"


def test_the_environment_overrides_the_file_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "marketflow.toml").write_text('[feed]\nsymbols = ["xrpusdt"]\nreorder_ms = 300\n[hub]\nport = 9000\n')
    monkeypatch.setenv("MARKETFLOW_FEED__REORDER_MS", "400")
    settings = load_settings()
    assert (settings.feed.symbols, settings.feed.reorder_ms, settings.hub.port) == (("XRPUSDT",), 400, 9000)


def test_another_file_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text("[hub]\nport = 9001\n")
    monkeypatch.setenv("MARKETFLOW_CONFIG", "mine.toml")
    assert load_settings().hub.port == 9001
    monkeypatch.setenv("MARKETFLOW_CONFIG", "gone.toml")
    with pytest.raises(SettingsError, match=r"gone\.toml, which is no file"):
        load_settings()


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"hub": {"prot": 1}}, "hub.prot"),
        ({"hub": {"port": 70_000}}, "hub.port"),
        ({"hub": {"host": "0.0.0.0"}}, "set token"),
        ({"feed": {"venue": "binnace"}}, "feed.venue"),
        ({"feed": {"timeframes": ["1m", "7m"]}}, "7m"),
        ({"feed": {"timeframes": ["2m", "5m"]}}, "5m is no multiple of the shortest timeframe, 2m"),
        ({"feed": {"symbols": ["BTC!USDT"]}}, "BTC!USDT"),
        ({"feed": {"symbols": []}}, "at least one symbol"),
        ({"feed": {"streams": ["trade", "aggTrade"]}}, "not both"),
        (
            {"feed": {"streams": ["aggTrade", "markPrice", "forceOrder"]}},
            "feed.streams: binance has no markPrice and no forceOrder: those are of derivatives",
        ),
        ({"feed": {"shard": "3/2"}}, "3/2"),
        ({"feed": {"backoff_min_s": 9, "backoff_max_s": 3}}, "feed.backoff_max_s: it is below backoff_min_s, 9"),
        (
            {"feed": {"backoff_min_s": 100}},
            "feed.backoff_min_s: it is above backoff_max_s, 64: choose at most that, or",
        ),
        ({"books": {"depth": 700}}, "books.depth: venues serve 100, 500, 1000 levels; got 700"),
        ({"books": {"first_depth": 50}}, "books.first_depth: venues serve 100, 500, 1000 levels; got 50"),
        (
            {"books": {"first_depth": 1000}},
            "books.first_depth: it is above depth, 500: choose at most that, or a larger depth; got 1000",
        ),
        (
            {"books": {"levels": 600}},
            "books.levels: it is above depth, 500: choose at most that, or a larger depth; got 600",
        ),
        ({"hub": {"port": 9999}, "api": {"port": 9999}}, "hub.port: port 9999 is that of api.port too: choose another"),
        (
            {"api": {"port": 8765}},
            "api.port: port 8765 is that of hub.port too: choose another for one of them; got",
        ),
        ({"hub": {"port": 9464}}, "hub.port: port 9464 is that of metrics.port too"),
        ({"replay": {"port": 9464}}, "replay.port: port 9464 is that of metrics.port too"),
        ({"tools": {"port": 9443}}, "tools.port: port 9443 is that of replay.port too"),
        ({"mongo": {"uri": "mongodb://127.0.0.1:8080"}}, "mongo.uri: port 8080 is that of api.port too"),
        (
            {"api": {"host": "127.0.0.2", "port": 8765}, "hub": {"host": "0.0.0.0", "token": "secret"}},
            "api.port: port 8765 is that of hub.port too",
        ),
        ({"tools": {"host": "0.0.0.0"}}, "listen on 127.0.0.1"),
        ({"analysis": {"timeframes": {"7m": 1}}}, "'7m' is no timeframe"),
        ({"analysis": {"trend": -1}}, "analysis.trend"),
        ({"analysis": {"trend": 0, "momentum": 0, "volume": 0}}, "at least one must be above 0; got 0"),
        ({"backfill": {"start": "2024-13-01"}}, "backfill.start: '2024-13-01' is no time: write a day"),
        ({"backfill": {"end": "soon"}}, "backfill.end: 'soon' is no time"),
        (
            {"backfill": {"start": "2024-10-27T06:00", "end": "2024-10-27"}},
            "backfill.end: end is not after start, 2024-10-27T06:00; got '2024-10-27'",
        ),
    ],
)
def test_a_wrong_setting_is_named(sections: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(**sections)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "sections",
    [
        {"hub": {"port": 0}, "api": {"port": 0}, "metrics": {"port": 0}},
        {"hub": {"port": 8080, "enabled": False}},
        {"api": {"port": 9464}, "metrics": {"enabled": False}},
        {"api": {"host": "127.0.0.2", "port": 8765}},
        {"mongo": {"uri": "mongodb://database.example:8080"}},
        {"mongo": {"uri": "mongodb://127.0.0.1:8080", "enabled": False}},
    ],
)
def test_a_port_that_only_one_server_has_is_not_refused(sections: dict[str, Any]) -> None:
    assert load_settings(**sections)


def test_two_servers_with_one_port_are_named_with_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_API__PORT", "8765")
    with pytest.raises(SettingsError, match=r"api\.port: .* hub\.port too.*got '8765' \(MARKETFLOW_API__PORT\)"):
        load_settings()


@pytest.mark.parametrize(
    ("told", "hour"),
    [
        ("2024-10-27", 0),
        (date(2024, 10, 27), 0),
        ("2024-10-27T06:00", 6),
        ("2024-10-27T06:00Z", 6),
        ("2024-10-27T06:00+02:00", 4),
        ("1730008800", 6),
        (1_730_008_800_000, 6),
        (datetime(2024, 10, 27, 6), 6),  # noqa: DTZ001 - as the file may say it
    ],
)
def test_an_import_begins_with_a_day_or_at_a_time_of_utc(told: Any, hour: int) -> None:
    assert load_settings(backfill={"start": told}).backfill.start == datetime(2024, 10, 27, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "says", "nearest"),
    [
        ("MARKETFLOW_FEED__SYMBOLZ", "is no setting", "symbols"),
        ("MARKETFLOW_FED__SYMBOLS", "sections are feed, rest, mongo", "feed"),
    ],
)
def test_an_unknown_variable_is_named(name: str, says: str, nearest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "17")
    with pytest.raises(SettingsError, match=f"{name}.*{says}.*; got '17'; did you mean {nearest}"):
        load_settings()


@pytest.mark.parametrize("name", ["MARKETFLOW_HUB__TOKENN", "MARKETFLOW_PASSWORD", "MARKETFLOW_APIKEY__TOKEN"])
def test_an_unknown_variable_that_may_be_a_secret_is_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(SettingsError, match="got a value that is not shown") as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "marketflow.toml").write_text("[feed\n")
    with pytest.raises(SettingsError, match=r"/marketflow\.toml cannot be read: .*at line 1, column 6"):
        load_settings()
    (tmp_path / "marketflow.toml").write_bytes(b"[feed]\n# \xff\n")
    with pytest.raises(SettingsError, match=r"/marketflow\.toml, line 2: cannot be read: it is no UTF-8 text"):
        load_settings()
    (tmp_path / "marketflow.toml").write_text("[hub]\nport = 1\n\n[feed]\nport = 2\n[feed]\n")
    with pytest.raises(SettingsError, match=r"/marketflow\.toml cannot be read: .*line 6"):
        load_settings()
    (tmp_path / "marketflow.toml").write_text("# only\nfeed = 3\n")
    with pytest.raises(SettingsError, match=r"feed: 3 \(.*marketflow\.toml, line 2\): write sections"):
        load_settings()


def test_another_host_with_a_token_is_allowed() -> None:
    assert load_settings(hub={"host": "0.0.0.0", "token": "secret"}).hub.host == "0.0.0.0"


def test_what_derivatives_alone_have_can_be_followed_there_alone() -> None:
    streams = ("aggTrade", "markPrice", "forceOrder", "contractInfo")
    usdm = load_settings(feed={"venue": "binance-usdm", "streams": streams}).feed
    assert usdm.streams == streams
    assert usdm.refusal_of(["markPrice", "forceOrder"]) == ""
    assert "markPrice cannot be followed here" in load_settings().feed.refusal_of(["markPrice"])


def test_binary_streams_are_those_of_binance_spot_with_a_key_and_single_trades() -> None:
    feed = Feed(encoding="sbe", api_key=Secret("k3y"))
    assert (feed.streams, feed.api_key) == (("trade", "kline", "ticker", "depth", "bookTicker"), Secret("k3y"))
    assert "k3y" not in repr(feed)
    assert Feed(encoding="sbe", api_key=Secret("k3y"), streams=("trade",)).streams == ("trade",)
    for changes, says in (
        ({}, "needs an API key"),
        ({"api_key": "k3y", "streams": "aggTrade,depth"}, "write trade in place of aggTrade"),
        ({"api_key": "k3y", "venue": "binance-usdm"}, "binance-usdm has no binary streams"),
        ({"api_key": "k3y", "venue": "kraken"}, "kraken has no binary streams"),
        ({"api_key": "k3y", "origin": "testnet"}, "the origin is testnet: write the address"),
    ):
        with pytest.raises(SettingsError, match=says):
            load_settings(feed={"encoding": "sbe"} | changes)


def test_shards_share_the_symbols() -> None:
    symbols = ["A", "B", "C", "D", "E"]
    parts = [load_settings(feed={"symbols": symbols, "shard": f"{i}/2"}).feed.own_symbols for i in (1, 2)]
    assert parts == [("A", "C", "E"), ("B", "D")]


# --- values in texts ---


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("BTCUSDT", ("BTCUSDT",)),
        ("btcusdt", ("BTCUSDT",)),
        ("BTCUSDT,ETHUSDT", ("BTCUSDT", "ETHUSDT")),
        (" BTCUSDT , ETHUSDT, ", ("BTCUSDT", "ETHUSDT")),
        ('["BTCUSDT"]', ("BTCUSDT",)),
        ('["BTCUSDT", "ETHUSDT"]', ("BTCUSDT", "ETHUSDT")),
        ('"BTCUSDT"', ("BTCUSDT",)),
        ("币安人生usdt", ("币安人生USDT",)),
        ("BTCUSDT_250926,BTC-USD", ("BTCUSDT_250926", "BTC-USD")),
    ],
)
def test_a_list_is_written_as_json_as_one_value_or_with_commas(
    text: str, symbols: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings(feed={"symbols": text}).feed.symbols == symbols
    (tmp_path / "marketflow.toml").write_text(f"[feed]\nsymbols = '{text}'\n")
    assert load_settings().feed.symbols == symbols
    (tmp_path / "marketflow.toml").unlink()
    monkeypatch.setenv("MARKETFLOW_FEED__SYMBOLS", text)
    assert load_settings().feed.symbols == symbols


def _lists_and_mappings() -> list[tuple[str, str]]:
    """Every setting that holds more than one value."""
    found = []
    for section, in_effect in Settings().in_sections.items():
        model: Any = type(in_effect)
        for key, setting in model.model_fields.items():
            if get_origin(setting.annotation) in (tuple, list, dict):
                found.append((section, key))
    return found


@pytest.mark.parametrize(("section", "key"), _lists_and_mappings())
@pytest.mark.parametrize("form", ["json", "commas"])
def test_every_list_and_mapping_is_taken_as_the_readme_writes_it(
    section: str, key: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = getattr(getattr(load_settings(), section), key)
    if isinstance(default, dict):
        text = (
            json.dumps(default) if form == "json" else ", ".join(f"{name}={value}" for name, value in default.items())
        )
    else:
        text = json.dumps(default) if form == "json" else ",".join(default)
    monkeypatch.setenv(f"MARKETFLOW_{section}__{key}".upper(), text)
    assert getattr(getattr(load_settings(), section), key) == default


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("FEED__SYMBOLS", "BTC!USDT", "feed.symbols: 'BTC!USDT' is no symbol: write"),
        ("FEED__SYMBOLS", "", "feed.symbols: name at least one symbol, as in BTCUSDT; got ''"),
        ("FEED__SYMBOLS", '["BTCUSDT"', "feed.symbols: it is no JSON"),
        ("FEED__SYMBOLS", '{"BTCUSDT": 1}', "feed.symbols: write a list, as in A,B; got"),
        ("FEED__SYMBOLS", "[1]", "feed.symbols: write a text; got 1"),
        ("FEED__SYMBOLS", "[" * 100_000, "feed.symbols: it is nested too deeply; got '[["),
        ("FEED__SYMBOLS", "A\nB", "feed.symbols: write it without line breaks and other controls; got 'A\\nB'"),
        ("FEED__TIMEFRAMES", "1m,1m", "feed.timeframes: 1m stands there twice: name it once; got '1m,1m'"),
        ("FEED__TIMEFRAMES", "60m,1h", "feed.timeframes: 60m and 1h are the same length: choose one of them; got '60m"),
        ("FEED__TIMEFRAMES", "1H", "feed.timeframes: '1H' is no timeframe"),
        ("FEED__STREAMS", "aggTrade,tick", "feed.streams: write 'aggTrade', 'trade'"),
        ("FEED__STREAMS", "[]", "feed.streams: name at least one stream"),
        ("FEED__SHARD", "\uff11/\uff12", "is no share: write i/N with 1 <= i <= N, as in 1/2; got"),
        ("FEED__SHARD", "0/2", "feed.shard: '0/2' is no share"),
        ("FEED__STALE_AFTER_S", "nan", "feed.stale_after_s: write a number that is finite; got 'nan'"),
        ("FEED__STALE_AFTER_S", "inf", "feed.stale_after_s: write a number that is finite; got 'inf'"),
        ("FEED__STALE_AFTER_S", "0", "feed.stale_after_s: write a number above 0; got '0'"),
        ("FEED__QUEUE_FRAMES", "1" + "0" * 30, "feed.queue_frames: write a number that is at most 10000000"),
        ("FEED__WS_URL", "", "feed.ws_url: write an address such as wss://stream.example.com:9443; got ''"),
        ("FEED__WS_URL", "http://localhost:9443", "feed.ws_url: write an address such as wss://"),
        ("FEED__WS_URL", "ws://", "feed.ws_url: write an address such as wss://"),
        ("FEED__WS_URL", "ws://:9443", "feed.ws_url: write an address"),
        ("FEED__WS_URL", "ws://host:99999", "feed.ws_url: write an address"),
        ("FEED__WS_URL", "ws://host:0", "feed.ws_url: write an address"),
        ("FEED__WS_URL", "ws://ho st", "feed.ws_url: write an address"),
        ("FEED__WS_URL", "ws://[::1", "feed.ws_url: write an address"),
        ("FEED__WS_URL", "ws://300.1.1.1", "feed.ws_url: write an address"),
        ("FEED__WS_URL", "localhost:9443", "feed.ws_url: write an address"),
        ("FEED__REST_URL", "ws://localhost", "feed.rest_url: write an address such as https://"),
        ("FEED__REST_URL", "http://host/?a=1", "feed.rest_url: write an address without a query"),
        ("API__HUB_URLS", "ws://a/ws,http://x", "api.hub_urls: write an address such as ws://127.0.0.1:8765/ws; got 'http://x'"),
        ("BUS__URL", "nats://a:4222,http://b", "bus.url: write an address such as nats://127.0.0.1:4222; got 'http://b'"),
        ("BUS__URL", "nats://flow:secret@a", "bus.url: write it without a user: that is bus.user and bus.password"),
        ("BUS__URL", "nats://a:4222/x", "bus.url: write scheme, host and port alone"),
        ("BUS__STREAM", "a.b", "bus.stream: write 1 to 40 letters, digits, _ and -"),
        ("BUS__AGE_HOURS", "0.1", "bus.age_hours: duplicate_s is longer than age_hours"),
        ("BUS__TLS_CERT", "a.pem", "bus.tls_cert: tls_cert and tls_key: set both, or none"),
        ("TOOLS__API_URL", "127.0.0.1:8080", "tools.api_url: write an address such as https://"),
        ("BACKFILL__ARCHIVE_URL", "file:///data", "backfill.archive_url: write an address such as https://"),
        ("BACKFILL__SOURCE", "", "backfill.source: write archive, rest, or the name of a folder; got ''"),
        ("BACKFILL__SOURCE", "https://x", "backfill.source: write archive, rest, or the name of a folder"),
        ("BACKFILL__SYMBOLS", "A!B", "backfill.symbols: 'A!B' is no symbol: write"),
        ("BACKFILL__KINDS", "candles", "backfill.kinds: write 'trades' or 'klines'; got 'candles'"),
        ("BACKFILL__KINDS", "[]", "backfill.kinds: name trades, klines or both"),
        ("BACKFILL__START", "1024-10-27", "backfill.start: write a time from 2009 to 2100; got '1024-10-27'"),
        ("MONGO__URI", "localhost:27017", "mongo.uri: write an address such as mongodb://127.0.0.1:27017"),
        ("MONGO__URI", "mongodb://", "mongo.uri: write an address such as"),
        ("MONGO__URI", "mongodb://host:99999", "mongo.uri: write an address such as"),
        ("MONGO__URI", "mongodb://ho st", "mongo.uri: write an address such as"),
        ("MONGO__URI", "mongodb://host/?nonsense=1", "such as mongodb://127.0.0.1:27017: Unknown option"),
        ("MONGO__URI", "mongodb+srv://a.example.com,b.example.com", "or mongodb+srv:// with one host and no port"),
        ("MONGO__URI", "mongodb+srv://a.example.com:27017", "or mongodb+srv:// with one host and no port"),
        ("MONGO__DATABASE", "", "mongo.database: write a name of 1 to 63 bytes; got ''"),
        ("MONGO__DATABASE", "a b", "mongo.database: a database's name has none of"),
        ("MONGO__DATABASE", "a.b", "mongo.database: a database's name has none of"),
        ("MONGO__DATABASE", "a$b", "mongo.database: a database's name has none of"),
        ("MONGO__DATABASE", "x" * 64, "mongo.database: write a name of 1 to 63 bytes; got 'xxx"),
        ("MONGO__DATABASE", "admin", "mongo.database: this database is MongoDB's own: write another name"),
        ("MONGO__RETENTION_DAYS", "1m=-1", "mongo.retention_days.1m: write a number that is at least 1"),
        ("MONGO__RETENTION_DAYS", '{"1m": NaN}', "mongo.retention_days.1m: "),
        ("MONGO__RETENTION_DAYS", "1m=nan", "mongo.retention_days.1m: "),
        ("MONGO__RETENTION_DAYS", "7m=3", "mongo.retention_days: '7m' is no timeframe"),
        ("MONGO__RETENTION_DAYS", "60m=3,1h=4", "mongo.retention_days: 60m and 1h are the same length"),
        ("MONGO__RETENTION_DAYS", "1m=3,1m=4", "mongo.retention_days: '1m' stands there twice; got '1m=3,1m=4'"),
        ("MONGO__RETENTION_DAYS", "1m", "mongo.retention_days: '1m' is no pair: write key=value, as in 1m=7"),
        ("MONGO__RETENTION_DAYS", "1m=999999999", "mongo.retention_days.1m: write a number that is at most"),
        ("TRADES__RETENTION_DAYS", "-1", "trades.retention_days: write a number that is at least 0"),
        ("TRADES__PATH", "", "trades.path: write the name of a folder; got ''"),
        ("HUB__PORT", "70000", "hub.port: write a number that is at most 65535; got '70000'"),
        ("HUB__PORT", "true", "hub.port: write a whole number"),
        ("HUB__HOST", "", "hub.host: write an address or the name of a machine"),
        ("HUB__HOST", "http://127.0.0.1", "hub.host: write an address or the name of a machine"),
        ("HUB__HOST", "127.0.0.300", "hub.host: write an address or the name of a machine"),
        ("HUB__ORIGINS", "desk.example", "hub.origins: write an address such as https://desk.example.com"),
        ("API__CORS", "https://desk.example/", "api.cors: write scheme and host alone, such as https://"),
        ("ANALYSIS__TIMEFRAMES", "1m=0", "analysis.timeframes: at least one weight must be above 0; got '1m=0'"),
        ("REST__WEIGHT_SHARE", "nan", "rest.weight_share: write a number that is finite"),
        ("LOG__LEVEL", "LOUD", "log.level: write 'DEBUG', 'INFO', 'WARNING' or 'ERROR'; got 'LOUD'"),
        ("HUB", "{", "hub: it is no JSON"),
        ("HUB", "[]", 'hub: write a JSON object, as in {"key": 1}'),
        ("HUB", '{"port": -1}', "hub.port: write a number that is at least 0; got -1"),
    ],
)  # fmt: skip
def test_nonsense_in_the_environment_is_named_with_its_value_and_its_place(
    name: str, text: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MARKETFLOW_{name}", text)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert says in str(raised.value)
    assert f"(MARKETFLOW_{name})" in str(raised.value)
    assert len(str(raised.value)) < 1_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[hub]\n\nport = 70000\n", "hub.port: write a number that is at most 65535; got 70000 ({}, line 3)"),
        ("hub.port = true\n", "hub.port: write a number; got True ({}, line 1)"),
        ("[feed]\nsymbols = [\n 'A!B',\n]\n", "feed.symbols: 'A!B' is no symbol"),
        ("[feed]\nsymbols = [\n 'A!B',\n]\n", "({}, line 2)"),
        ("[mongo.retention_days]\n1m = -3\n", "mongo.retention_days.1m: write a number that is at least 1"),
        ("[mongo.retention_days]\n1m = -3\n", "({}, line 1)"),
        ("[mongo]\nretention_days = { 1m = true }\n", "mongo.retention_days: write numbers"),
        ("[hub]\nprot = 1\n", "hub.prot: no such setting; those of hub are enabled, host, port"),
        ("\n[hbu]\nport = 1\n", "hbu: no such setting; sections are feed, rest, mongo"),
        ("\n[hbu]\nport = 1\n", "({}, line 2)"),
        ("\n[hbu]\nport = 1\n", "; did you mean hub?; got"),
        ("[hub]\nprot = 1\n", "; did you mean port?; got"),
        ("[feed]\nbackoff_max_s = 1\n", "feed.backoff_max_s: it is below backoff_min_s, 2: choose at least"),
    ],
)  # fmt: skip
def test_nonsense_in_the_file_is_named_with_its_value_and_its_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "marketflow.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert says.format(path) in str(raised.value)


def test_a_password_goes_into_the_address_of_its_user() -> None:
    mongo = load_settings(mongo={"uri": "mongodb://me@one,two/?replicaSet=rs0", "password": "p@ss/w:rd"}).mongo
    assert mongo.uri == "mongodb://me:p%40ss%2Fw%3Ard@one,two/?replicaSet=rs0"
    assert parse_uri(mongo.uri)["password"] == "p@ss/w:rd"


@pytest.mark.parametrize(
    "uri", ["mongodb://127.0.0.1:27017", "mongodb://me:other@host", "mongodb://@host", "mongodb://host/?x=a@b"]
)
def test_a_password_without_its_user_is_refused(uri: str) -> None:
    with pytest.raises(SettingsError, match=r"mongo\.password: it belongs to a user whom mongo.uri names") as raised:
        load_settings(mongo={"uri": uri, "password": "hunter2"})
    assert "hunter2" not in str(raised.value)


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for section, key, text in (
        ("hub", "token", "hunter 2"),
        ("feed", "api_key", "hunter 2"),
        ("hub", "tokn", "hunter2"),
        ("mongo", "password", "hunter2"),
        ("mongo", "uri", "mongodb://me:hun/ter2@host"),
        ("mongo", "uri", "mongodb://me:hunter2@host/?nonsense=hunter2"),
        ("feed", "rest_url", "ftp://me:hunter2@host"),
    ):
        for sections in ({section: {key: text}},):
            with pytest.raises(SettingsError) as raised:
                load_settings(**sections)
            assert f"{section}.{key}" in str(raised.value)
            assert "hun" not in str(raised.value).replace("nonsense=hunter2", "")
    monkeypatch.setenv("MARKETFLOW_HUB", '{"token": "hunter2"')
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("mongo", "uri", "mongodb://me:p%2Fw@host.example:27018,other/?replicaSet=rs0"),
        ("mongo", "uri", "mongodb+srv://me:pw@cluster0.example.mongodb.net/?retryWrites=true"),
        ("mongo", "uri", "mongodb://[::1]:27017"),
        ("mongo", "database", "market_flow-2"),
        ("feed", "ws_url", "wss://stream.binance.com:9443"),
        ("feed", "ws_url", "ws://[::1]:9443/base"),
        ("feed", "ws_url", "ws://replay_exchange:9443"),
        ("feed", "rest_url", "https://api.binance.com"),
        ("hub", "host", "::1"),
        ("feed", "timeframes", ("5m", "1h")),
        ("mongo", "retention_days", {"1m": 1}),
    ],
)
def test_what_can_be_used_is_taken(section: str, key: str, value: Any) -> None:
    assert getattr(getattr(load_settings(**{section: {key: value}}), section), key) == value


@given(st.sampled_from(_every_setting()), st.text(max_size=40))
@settings(max_examples=examples(60), deadline=None)
def test_any_text_is_taken_or_refused_with_the_name_of_the_setting(where: tuple[str, str], text: str) -> None:
    section, key = where
    try:
        load_settings(**{section: {key: text}})
    except SettingsError as error:
        assert f"{section}.{key}" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize(
    "value", [None, {}, {"x": [1]}, [], [[]], object(), b"x", float("nan"), float("inf"), -1, 10**40, True]
)
def test_any_value_is_taken_or_refused_with_the_name_of_the_setting(value: Any) -> None:
    for section, key in _every_setting():
        try:
            load_settings(**{section: {key: value}})
        except SettingsError as error:
            assert f"{section}.{key}" in str(error)


@pytest.mark.parametrize("where", _every_setting())
def test_an_error_is_short_however_long_the_value_is(where: tuple[str, str]) -> None:
    section, key = where
    try:
        load_settings(**{section: {key: "x y" * 100_000}})
    except SettingsError as error:
        assert len(str(error)) < 1_000
