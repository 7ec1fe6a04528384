"""Examples of every command, for its help and for `docs/commands.md`."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from rich.markup import escape


class Example(NamedTuple):
    """A command line, and what it does."""

    line: str
    does: str


EXAMPLES: Final[Mapping[str, tuple[Example, ...]]] = {
    "demo": (
        Example("marketflow demo", "a synthetic market at three exchanges on this machine; Ctrl-C ends it"),
        Example("marketflow demo --venues binance", "at one of them: less to look at, less to compute"),
        Example("marketflow demo --symbols BTCUSDT,SOLUSDT --seed 42", "another market, always the same one"),
        Example("marketflow demo --speed 10 --folder data/fast", "ten seconds of market a second, beside other data"),
    ),
    "run": (
        Example("marketflow run", "the live exchange, with state and stores in data/"),
        Example("marketflow run --symbols BTCUSDT,SOLUSDT", "these symbols instead of feed.symbols"),
        Example("marketflow run --only flow", "the flow alone, where something else starts and restarts it"),
    ),
    "health": (
        Example("marketflow health", "exit code 0 when everything is there and current, as /health/ready says"),
        Example("marketflow health live", "whether the API answers at all"),
        Example("marketflow health flow", "whether a heartbeat of the flow comes over its hub"),
    ),
    "status": (
        Example("marketflow status", "what is live, and what is missing since when"),
        Example("marketflow status --json | jq .missing", "the same for programs"),
        Example("marketflow status --url http://10.0.0.5:8080", "of another machine"),
    ),
    "export": (
        Example("marketflow export candles BTCUSDT -t 1h --out hours.parquet", "all stored hours"),
        Example("marketflow export trades BTCUSDT --start 2026-01-31 --end 2026-02-01 > day.csv", "a day of trades"),
        Example("marketflow export bars BTCUSDT --by dollar --size 1000000 -o bars.parquet", "bars of equal value"),
        Example("marketflow --of data/demo export incidents -f ndjson | jq .kind", "what went wrong in the demo"),
    ),
    "publish": (
        Example(
            "MARKETFLOW_KAFKA__BROKERS=10.0.0.7:9092 marketflow publish data/tapes/*.tape.zst",
            "tapes into the topics that flows with kafka.read_frames read",
        ),
    ),
    "lake write": (
        Example(
            "marketflow lake write --lake data/lake", "every closed day that it lacks, or that a repair has changed"
        ),
        Example("marketflow lake write --lake data/lake --kind trades --symbols BTCUSDT", "of one kind and symbol"),
        Example(
            "marketflow lake write --lake data/lake --start 2026-01-01 --all",
            "compare all of these days with the stores",
        ),
    ),
    "lake verify": (
        Example("marketflow lake verify --lake data/lake", "exit code 0 when every file is what its manifest says"),
        Example("marketflow lake verify --lake data/lake --kind candles --json | jq .series", "for programs"),
    ),
    "backup": (
        Example("marketflow backup backups/monday", "both stores, also beside a live flow"),
        Example("marketflow --of data/demo backup demo-copy", "those of the demo"),
    ),
    "restore": (
        Example("marketflow restore backups/monday", "into data/, which must be empty"),
        Example("marketflow restore demo-copy --folder copy", "into another folder"),
    ),
    "verify": (
        Example("marketflow verify --json report.json", "everything that is stored, beside a live flow"),
        Example("marketflow verify --folder copy", "a restored copy: its bundled database is started for it"),
        Example("marketflow verify --symbols BTCUSDT --start 2026-01-01 --against rest", "also against the exchange"),
    ),
    "import": (
        Example("marketflow import --start 2024-10-01 --end 2024-10-08", "a week of the exchange's public files"),
        Example("marketflow import --source /data/files --dry-run", "what would be read of a folder of such files"),
        Example("marketflow import --source rest --start 2024-10-08T06:00", "what is newer than the files"),
    ),
    "record": (
        Example("marketflow record --symbols BTCUSDT --minutes 5", "five minutes of the exchange in a tape"),
        Example("marketflow record --venue binance-usdm --out day.tape.zst", "futures, in a file of this name"),
        Example("marketflow record --accounts", "also balances and positions, without anything that names their owner"),
    ),
    "replay": (
        Example("marketflow replay --synthetic --seed 7", "a market that never ends, as an exchange on port 9443"),
        Example("marketflow replay day.tape.zst --speed 10", "a tape, ten times as fast"),
    ),
    "tail": (
        Example("marketflow tail", "every price and every closed candle, a JSON object a line"),
        Example(
            "marketflow tail --symbol BTCUSDT --channel Candle --timeframe 1m", "the candles of a minute as they form"
        ),
        Example("marketflow tail --channel Trade --count 100 > trades.ndjson", "a hundred messages, then the end"),
    ),
    "symbols list": (
        Example("marketflow symbols list", "what is wanted, and what is followed"),
        Example("marketflow symbols list --json", "the same for programs"),
    ),
    "symbols add": (
        Example("marketflow symbols add SOLUSDT XRPUSDT", "follow them from now on, also after a restart"),
        Example("marketflow symbols add SOLUSDT --stream aggTrade --stream kline_1m", "only these streams of it"),
    ),
    "symbols remove": (
        Example("marketflow symbols remove SOLUSDT", "asks, then follows it no more; what is stored stays"),
        Example("marketflow symbols remove SOLUSDT --yes", "does not ask"),
    ),
    "alerts list": (
        Example("marketflow alerts list", "every rule, and what it fired last"),
        Example("marketflow alerts list --json | jq '.[].id'", "for programs"),
    ),
    "alerts add": (
        Example("marketflow alerts add price_above BTCUSDT --price 500000 --rearm on_return", "armed again on return"),
        Example(
            "marketflow alerts add price_change BTCUSDT --percent 2 --span 60 --rearm-after 3600", "2 % in a minute"
        ),
        Example("marketflow alerts add silence --for 30 --rearm on_return", "of each symbol that is followed"),
    ),
    "alerts remove": (
        Example("marketflow alerts remove $(marketflow alerts list --json | jq -r '.[0].id')", "asks, then deletes it"),
    ),
    "alerts history": (
        Example("marketflow alerts history --symbol BTCUSDT --limit 5", "what has fired, the newest first"),
    ),
    "mcp": (
        Example("marketflow mcp", "tools for agents on standard input and output"),
        Example("marketflow mcp --http --port 8090", "over HTTP, on this machine only"),
    ),
    "notebook": (
        Example("marketflow notebook", "the stored data in a notebook, in a browser"),
        Example("marketflow notebook my-study.py", "a copy of it under this name, to be changed"),
    ),
    "config show": (
        Example("marketflow config show", "every setting, its value, and where it comes from"),
        Example("marketflow config show feed hub --changed", "of two sections, what is not the default"),
        Example("marketflow config show --json", "the same for programs"),
    ),
    "config check": (
        Example("marketflow config check", "exit code 0 when the settings can be used, else 1 and what is wrong"),
        Example("MARKETFLOW_CONFIG=other.toml marketflow config check", "another file"),
    ),
    "config init": (
        Example("marketflow config init", "marketflow.toml with every setting, commented out"),
        Example("marketflow config init --path other.toml --force", "another name, over what is there"),
    ),
    "doctor": (
        Example("marketflow doctor", "what is wrong with this machine or the settings, and what to do"),
        Example("marketflow doctor --offline --json", "without the exchange's clock, for programs"),
    ),
}
"""By command."""


def epilog(command: str) -> str:
    """The end of the help of a typer command: blank lines end a line there, and brackets are its markup."""
    lines = (f"  {escape(each.line)}  [dim]# {escape(each.does)}[/dim]" for each in EXAMPLES[command])
    return "\n".join(("Examples:", *lines))


def plain_epilog(command: str) -> str:
    """The same as plain text."""
    return "\n".join(("examples:", *(f"  {each.line}\n    {each.does}" for each in EXAMPLES[command])))
