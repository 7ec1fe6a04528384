"""`python -m sources.replay`: serves tapes or a synthetic market as an exchange, until SIGINT or SIGTERM.

The one line on standard output is the address it listens on; everything else is logged. A synthetic market may be that
of several venues, all on one port and one event loop.
"""

import argparse
import asyncio
import errno
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from msgspec import Struct

from flows.clock import wall_ms
from flows.names import symbol_of
from flows.process.descriptors import raise_descriptor_limit
from flows.process.exit_codes import CANNOT_RUN
from flows.process.gc import keep_loaded
from flows.process.logs import set_up_logs
from flows.process.stop_signals import on_stop_signals
from flows.settings import Feed, Replay, SettingsError, load_settings
from flows.texts.arguments import number_from, whole_from
from sources.replay.accounts.keys import DEMO, DEMO_KEY, DEMO_SECRET
from sources.replay.accounts.orders import ORDERS
from sources.replay.exchange.dialect import Dialect
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import serving
from sources.replay.faults.orders import FAULTS, describe
from sources.replay.market.market import Market
from sources.replay.market.player import Speed, speed_of
from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.synthetic.planned import all_planned, lives_of
from sources.replay.tape.tapes import load_tapes
from sources.replay.venues.listed import SYMBOLS, SYNTHETIC, TAPED
from sources.replay.venues.served import Served

SYNTHETIC_BEGIN_MS = 1_767_225_600_000
"""When a synthetic market with `--times original` begins: 2026-01-01."""

PROGRAM = "python -m sources.replay"
LINGER_S = 3.0
"""Longest wait for clients to leave before the exchange ends."""
_LOOK_S = 0.02
_INTERRUPTED = 130

_CONTROL = """control endpoint:
  GET  /control           a page with all of this, for a browser on this machine
  GET  /control/state     market, connected clients, active faults
  POST /control/faults    orders a fault, as in the examples below; DELETE clears them
  POST /control/lives     lists, halts, resumes or delists a symbol of a synthetic market:
    {"symbol": "ETHUSDT", "change": "halt", "for_s": 60}
  POST /control/pause, /control/resume
  POST /control/speed     changes the pace: {"speed": 10}
  GET  /control/accounts  accounts and their keys; POST moves them, as in the examples further below
  GET  /control/orders    the orders of accounts, with their fields
  POST /control/keys      accepts a key of a client

faults (docs/replay-exchange.md describes their fields):"""

_BESIDE = "further venues of the market (kraken, coinbase), each below its name; symbols with - are theirs"

_LIVES = {
    "list": "symbols that are listed later: SYMBOL@WHEN, seconds after the begin or ms UTC; SYMBOL: when it is ordered",
    "halt": "symbols that are halted, and for how long: SYMBOL@WHEN+SECONDS",
    "delist": "symbols that are delisted: SYMBOL@WHEN",
}
_log = structlog.get_logger(__name__)


def epilog() -> str:
    """The end of the help: the control endpoint, and every fault and every order of an account with an example."""
    keys = f"the account {DEMO!r} has the key\n  {DEMO_KEY} with the secret\n  {DEMO_SECRET}"
    orders = f"accounts ({keys}):"
    return "\n".join([_CONTROL, *map(_described, FAULTS), "", orders, *map(_described, ORDERS)])


def _described(kind: type[Struct]) -> str:
    one = describe(kind)
    return f"  {one.name}: {one.summary}\n    {one.example}"


def parse_arguments(
    argv: Sequence[str],
    defaults: Replay = Replay(),  # noqa: B008 - it is frozen
    *,
    prog: str = PROGRAM,
    examples: str = "",
) -> argparse.Namespace:
    """Parses the command line; ends the process with status 2 and a reason when it is invalid. `defaults` are the
    settings of the replay exchange; `prog` and `examples` stand in its help.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description="An exchange on this machine that speaks the protocol of Binance, Kraken or Coinbase.",
        epilog="\n\n".join(filter(None, (examples, epilog()))).replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("tapes", metavar="TAPE", nargs="*", type=Path, help="recording, file of trades, or a folder of them")
    add("--synthetic", action="store_true", help="play a synthetic market instead of tapes; it never ends")
    add(
        "--seed",
        type=whole_from(-(1 << 63), (1 << 63) - 1),
        default=1,
        help="of the synthetic market; the same seed gives the same market",
    )
    add(
        "--symbols", nargs="+", help="of the synthetic market (default: the settings' of Binance, else BTC-USD ETH-USD)"
    )
    add(
        "--quiet",
        nargs="+",
        default=[],
        metavar="SYMBOL",
        help="of Binance's symbols those that trade once in some minutes",
    )
    for option, meaning in _LIVES.items():
        add(f"--{option}", nargs="+", default=[], metavar="SYMBOL@WHEN", help=meaning)
    add(
        "--trades-per-s",
        type=number_from(0.001, 1_000_000),
        default=20.0,
        metavar="N",
        help="of each synthetic symbol (default: 20)",
    )
    add("--history", type=Path, help="folder of kline files that lead up to the tapes")
    add("--venue", choices=("binance", *SYNTHETIC), default="binance", help="whose protocol (default: %(default)s)")
    add("--beside", nargs="+", choices=tuple(SYNTHETIC), default=[], metavar="VENUE", help=_BESIDE)
    add("--market", choices=("spot", "usdm"), default="spot", help="of Binance: spot, or USD-M futures (default: spot)")
    add("--speed", type=_speed, default=1.0, metavar="N|max", help="seconds of market time a second (default: 1)")
    add("--times", choices=("original", "now"), help="default: original for tapes, now for a synthetic market")
    add("--loop", action="store_true", help="begin the tapes again at their end")
    add(
        "--begin",
        type=whole_from(0, 100_000_000_000_000),
        metavar="MS",
        help="of a synthetic market, ms UTC; it is played up to now unseen",
    )
    add("--start-now", action="store_true", help="do not wait for a first subscription (synthetic now: always)")
    add(
        "--settle",
        type=number_from(0, 86_400),
        default=0.5,
        metavar="S",
        help="wait until subscriptions are unchanged so long",
    )
    add("--host", default=defaults.host, help="address to listen on (default: %(default)s)")
    add(
        "--port",
        type=whole_from(0, 65_535),
        default=defaults.port,
        help="port to listen on, 0 for a free one (default: %(default)s)",
    )
    add(
        "--check",
        metavar="URL",
        help="serve nothing, but check a server of Binance's protocol, for --market and --symbols",
    )
    add("--check-streams", metavar="URL", help="of --check: where its streams are (default: the same with ws)")
    add(
        "--check-s",
        type=number_from(0, 86_400),
        default=10.0,
        metavar="S",
        help="of --check: time to listen (default: %(default)s)",
    )
    add("--json", action="store_true", help="of --check: print JSON instead of a table")
    arguments = parser.parse_args(argv)
    if arguments.check:
        _complete_check(arguments, parser)
        return arguments
    if arguments.synthetic == bool(arguments.tapes):
        parser.error("name tapes, or say --synthetic" if not arguments.tapes else "tapes or --synthetic, not both")
    if arguments.beside and not (arguments.synthetic and arguments.venue == "binance"):
        parser.error("--beside is for a synthetic market of Binance")
    if arguments.begin is not None and not (arguments.synthetic and arguments.times in {None, "now"}):
        parser.error("--begin is for a synthetic market of now")
    if arguments.venue != "binance" and (arguments.history or arguments.market != "spot"):
        parser.error("--history and --market are of Binance")
    if arguments.quiet and not (
        arguments.synthetic and set(arguments.quiet) <= set(arguments.symbols or Feed().symbols)
    ):
        parser.error("--quiet names symbols of a synthetic market of Binance")
    _plan_lives(arguments, parser)
    if not arguments.symbols:
        arguments.symbols = list(SYMBOLS.get(arguments.venue, Feed().symbols))
    arguments.beside = list(dict.fromkeys(arguments.beside))
    arguments.times = arguments.times or ("now" if arguments.synthetic else "original")
    return arguments


def _plan_lives(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Sets `planned` to the changes of symbols."""
    try:
        arguments.planned = all_planned(arguments.list, arguments.halt, arguments.delist)
        own = {symbol_of(symbol) for symbol in arguments.symbols or SYMBOLS.get(arguments.venue, Feed().symbols)}
    except ValueError as error:
        parser.error(str(error))
    if arguments.planned and not (arguments.synthetic and {one.symbol for one in arguments.planned} <= own):
        parser.error("--list, --halt and --delist name symbols of a synthetic market")


def _complete_check(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    scheme, separator, rest = arguments.check.partition("://")
    if scheme not in {"http", "https"} or not rest:
        parser.error(f"--check {arguments.check}: write the address of its REST side, as https://api.binance.com")
    if arguments.synthetic or arguments.tapes or arguments.venue != "binance":
        parser.error("--check serves nothing: leave tapes, --synthetic and --venue out")
    if not 0 < arguments.check_s < float("inf"):
        parser.error("--check-s is no time: write seconds above 0")
    arguments.check_streams = arguments.check_streams or scheme.replace("http", "ws") + separator + rest
    arguments.symbols = arguments.symbols or list(Feed().symbols)


def _speed(text: str) -> Speed:
    try:
        return speed_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def open_market(arguments: argparse.Namespace) -> Market:
    """The market of Binance that the command line names; `OSError` or `ValueError` when it cannot be loaded."""
    if not arguments.synthetic:
        return load_tapes(
            arguments.tapes,
            kind=arguments.market,
            times=arguments.times,
            loop=arguments.loop,
            history=arguments.history,
        )
    symbols = tuple(symbol for symbol in map(symbol_of, arguments.symbols) if not _is_beside(symbol, arguments))
    start_ms = _start_ms(arguments)
    return SyntheticMarket(
        arguments.market,
        symbols,
        seed=arguments.seed,
        start_ms=start_ms,
        trades_per_s=arguments.trades_per_s,
        quiet=frozenset(map(symbol_of, arguments.quiet)),
        lives=lives_of(arguments.planned, start_ms),
    )


def _is_beside(symbol: str, arguments: argparse.Namespace) -> bool:
    return bool(arguments.beside) and "-" in symbol


def _open(arguments: argparse.Namespace) -> list[tuple[Market, Dialect | None]]:
    """The markets that the command line names, each with its protocol; None: Binance's."""
    if arguments.venue in SYNTHETIC:
        if arguments.synthetic:
            return [_synthetic(arguments.venue, arguments.symbols, arguments)]
        return [TAPED[arguments.venue](arguments.tapes, times=arguments.times, loop=arguments.loop)]
    pairs = [symbol for symbol in map(symbol_of, arguments.symbols) if _is_beside(symbol, arguments)]
    beside = [_synthetic(venue, pairs or SYMBOLS[venue], arguments) for venue in arguments.beside]
    return [(open_market(arguments), None), *beside]


def _synthetic(venue: str, symbols: Sequence[str], arguments: argparse.Namespace) -> Served:
    start_ms = _start_ms(arguments)
    return SYNTHETIC[venue](
        symbols,
        seed=arguments.seed,
        start_ms=start_ms,
        trades_per_s=arguments.trades_per_s,
        lives=lives_of(arguments.planned, start_ms),
    )


def _start_ms(arguments: argparse.Namespace) -> int:
    """When a synthetic market begins."""
    if arguments.times != "now":
        return SYNTHETIC_BEGIN_MS
    return wall_ms() if arguments.begin is None else int(arguments.begin)


async def serve(arguments: argparse.Namespace) -> None:
    """Serves until a signal arrives or a market fails. At the end of a market REST and open connections stay."""
    exchanges = [_exchange(market, dialect, arguments) for market, dialect in _open(arguments)]
    stop = asyncio.Event()
    on_stop_signals(stop.set)  # not before: what loads for long reads no event, and is ended by the signal itself
    async with serving(*exchanges, host=arguments.host, port=arguments.port):
        _announce(exchanges)
        await _until_stopped(exchanges, stop)
        await _until_left(exchanges)
    _log.info("replay_exchange_stopped")


def _exchange(market: Market, dialect: Dialect | None, arguments: argparse.Namespace) -> ReplayExchange:
    is_now = arguments.times == "now"
    exchange = ReplayExchange(
        market,
        dialect=dialect,
        speed=arguments.speed,
        settle_s=arguments.settle,
        start_now=arguments.start_now or (arguments.synthetic and is_now),
        wall_ms=wall_ms if is_now and not arguments.synthetic else None,
        plays=_plays(arguments),
    )
    if arguments.begin is not None or (arguments.synthetic and is_now and arguments.speed != "max"):
        exchange.skip(wall_ms)  # over the time that it took to load
    return exchange


def _plays(arguments: argparse.Namespace) -> str:
    """What is played, for people."""
    if arguments.synthetic:
        return f"a synthetic market, seed {arguments.seed}"
    return ", ".join(path.name for path in arguments.tapes) + (", again and again" if arguments.loop else "")


def _announce(exchanges: Sequence[ReplayExchange]) -> None:
    for exchange in exchanges:
        _log.info(
            "replay_exchange_started",
            venue=exchange.dialect.venue,
            market=exchange.market.kind,
            ws=exchange.ws_url,
            rest=exchange.rest_url,
            control=f"{exchange.rest_url}/control/state",
        )
    sys.stdout.write(exchanges[0].rest_url.removeprefix("http://") + "\n")
    sys.stdout.flush()


async def _until_left(exchanges: Sequence[ReplayExchange]) -> None:
    """Waits up to `LINGER_S` for clients to disconnect: Ctrl-C reaches them too, and they close by themselves."""
    deadline = time.monotonic() + LINGER_S
    while any(exchange.clients for exchange in exchanges) and time.monotonic() < deadline:  # noqa: ASYNC110 - at the end of the process, for LINGER_S at most
        await asyncio.sleep(_LOOK_S)


async def _until_stopped(exchanges: Sequence[ReplayExchange], stop: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (stop, *(one.failed for one in exchanges))]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def main(argv: Sequence[str] | None = None, *, prog: str = PROGRAM, epilog: str = "") -> int:
    """Runs the command; its exit status. `prog` and `epilog` are its name and its examples in the help."""
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.stderr.write(f"marketflow: {error}\n")
        return CANNOT_RUN
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv, settings.replay, prog=prog, examples=epilog)
    set_up_logs(settings.log)
    if arguments.check:
        return _check(arguments)
    raise_descriptor_limit()
    try:
        asyncio.run(serve(arguments))
    except (OSError, ValueError) as error:
        _log.error("replay_exchange_failed", reason=_reason(error, arguments))
        return CANNOT_RUN
    return 0


def _check(arguments: argparse.Namespace) -> int:
    """Checks a server; the exit status is 1 where a rule is broken."""
    from sources.replay.conformance.checklist import check  # noqa: PLC0415 - serving needs none of it
    from sources.replay.conformance.rules import is_broken  # noqa: PLC0415

    try:
        findings = check(
            arguments.check,
            arguments.check_streams,
            market=arguments.market,
            symbol=symbol_of(arguments.symbols[0]),
            listen_s=arguments.check_s,
            as_json=arguments.json,
        )
    except KeyboardInterrupt:
        return _INTERRUPTED
    return int(is_broken(findings))


def _reason(error: Exception, arguments: argparse.Namespace) -> str:
    if isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
        where = f"cannot listen on {arguments.host}:{arguments.port}"
        return f"{where} (--host, --port; of a demo replay.port): {os.strerror(error.errno)}"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    keep_loaded()
    sys.exit(main())
