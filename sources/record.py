"""Records a venue into a tape that the replay exchange plays: `python -m sources.record --symbols BTCUSDT --minutes 5`.

A tape is zstd text. Its first line is a JSON header; every other line is the local receive time in nanoseconds, a
space, and a message as received. Answers of the REST interface are lines of the same form, as `{"rest": path and query,
"data": answer}`. An account is on it only with `--accounts`, and as `sources.recorded_account` says.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, get_args

import msgspec
import zstandard
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from flows.clock import wall_ns
from flows.model import ConnectionEvent, Disconnected, Subscribed
from flows.process.disk import disk_full, is_no_room
from flows.process.exit_codes import TRY_AGAIN
from flows.process.interrupts import exit_code_of, raise_on_interrupt
from flows.settings import Settings, SettingsError, Stream, load_settings
from flows.settings.account import FollowedAccount
from flows.texts.arguments import number_from
from sources.connection.frame_queue import FrameQueue
from sources.connection.pool import ConnectionPool, report_bug
from sources.connection.transport import transport_of
from sources.feed import UnknownSymbolError, check_symbols
from sources.recorded_account import RecordedAccount
from sources.replay.tape.taped_frames import taped
from sources.rest.client import VenueError
from sources.venue import VenueRest
from sources.venues import VENUES

FORMAT = "marketflow-tape"
VERSION = 1
SUFFIX = ".tape.zst"
PROGRAM = "python -m sources.record"
_TICK_S = 0.05


class TapeWriter:
    """Writes a tape; also a context manager. Flushed messages are readable even without `close`."""

    def __init__(self, path: Path, *, venue: str, symbols: tuple[str, ...]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("wb")
        self._compressed = zstandard.ZstdCompressor(level=9).stream_writer(self._file)
        self.messages = 0
        header = {"format": FORMAT, "version": VERSION, "venue": venue, "symbols": symbols, "started_ns": wall_ns()}
        self._compressed.write(msgspec.json.encode(header) + b"\n")

    def write(self, payload: bytes, received_ns: int) -> None:
        """Adds a frame, whatever it holds."""
        self.write_own(taped(payload), received_ns)

    def write_own(self, line: bytes, received_ns: int) -> None:
        """Adds what is no frame: an answer of REST, or what is known of an account."""
        self.messages += 1
        self._compressed.write(b"%d %b\n" % (received_ns, line))

    def flush(self) -> None:
        """Ends a block, so that everything until here can be read."""
        self._compressed.flush(zstandard.FLUSH_BLOCK)

    def close(self) -> None:
        """Ends the tape."""
        self._compressed.close()
        self._file.close()


class Recorder:
    """Opens the connections of a feed and writes the messages received; `with_account`: what its account brings too."""

    def __init__(self, settings: Settings, tape: TapeWriter, *, with_account: bool = False) -> None:
        self._settings = settings.feed.model_copy(update={"encoding": "json"})  # a tape is text
        self._rest = settings.rest
        self._accounts = settings.accounts
        self._with_account = with_account
        self._tape = tape
        self._venue = VENUES[settings.feed.venue]
        self._feed = self._venue.feed(self._settings)
        self._wanted_books: set[str] = set()

    async def run(self, seconds: float, show: Progress) -> None:
        """Records for a time, s."""
        bar = show.add_task("recording", total=seconds, messages=0)
        pool = ConnectionPool(self._feed, settings=self._settings, wake=lambda: None)
        following = asyncio.create_task(pool.follow(dict.fromkeys(self._settings.symbols, ())))
        following.add_done_callback(partial(report_bug, venue=self._settings.venue))
        begin = time.monotonic()
        try:
            async with self._venue.rest(self._settings, self._rest) as rest, self._account(rest):
                while (elapsed := time.monotonic() - begin) < seconds:
                    await asyncio.sleep(_TICK_S)
                    self._take(pool.queues)
                    await self._snapshot_books(rest)
                    show.update(bar, completed=elapsed, messages=self._tape.messages)
        finally:
            following.cancel()
            await pool.close()
            self._take(pool.queues)

    @asynccontextmanager
    async def _account(self, rest: VenueRest) -> AsyncIterator[None]:
        """Follows the account for the length of the block, where it is wanted."""
        if not self._with_account or self._venue.account is None:
            yield
            return
        account = RecordedAccount(
            self._venue.account(FollowedAccount.of(self._settings, self._accounts), rest),
            self._settings.account,
            settings=self._settings,
            rules=self._accounts,
            open_socket=transport_of(self._settings.transport),
            write=lambda line: self._tape.write_own(line, wall_ns()),
        )
        following = asyncio.create_task(account.run())
        following.add_done_callback(partial(report_bug, venue=self._settings.venue))
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait([following])

    def _take(self, queues: Iterable[FrameQueue]) -> None:
        now = wall_ns()
        for queue in queues:
            while queue.items:
                item = queue.items.popleft()
                if isinstance(item, bytes):
                    self._tape.write(item, now)
                else:
                    self._note(item)
        self._tape.flush()

    def _note(self, event: ConnectionEvent) -> None:
        """Notes new books: a snapshot is useful only after its differences have begun to arrive."""
        if isinstance(event, Subscribed) and any("@depth" in stream for stream in event.streams):
            self._wanted_books |= set(event.symbols)
        elif isinstance(event, Disconnected):
            self._wanted_books -= set(event.symbols)

    async def _snapshot_books(self, rest: VenueRest) -> None:
        for symbol in sorted(self._wanted_books):
            with suppress(VenueError):  # queried again at the next look
                path, book = await rest.recorded_book(symbol)
                answer = {"rest": path, "data": book}
                self._tape.write_own(msgspec.json.encode(answer), wall_ns())
                self._wanted_books.discard(symbol)


def _arguments(argv: Sequence[str] | None, prog: str, epilog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Record a venue into a tape.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--symbols", nargs="+", help="instruments, e.g. BTCUSDT ETHUSDT (default: the settings')")
    parser.add_argument("--minutes", type=number_from(0.001, 525_600), default=5.0, help="how long (default: 5)")
    parser.add_argument("--venue", choices=tuple(VENUES), help="the exchange (default: the settings' first)")
    parser.add_argument("--streams", nargs="+", choices=get_args(Stream), help="kinds of streams")
    parser.add_argument("--ws-url", help="base address of the streams")
    parser.add_argument("--rest-url", help="base address of the REST interface")
    parser.add_argument(
        "--accounts",
        action="store_true",
        help="also the venue's account (api_key, api_secret): its balances and positions, without keys, tokens and ids",
    )
    parser.add_argument("--out", type=Path, help="the file (default: data/tapes/<venue>-<utc>.tape.zst)")
    return parser.parse_args(argv)


def _settings_of(arguments: argparse.Namespace) -> Settings:
    chosen = {
        key: value
        for key in ("symbols", "venue", "streams", "ws_url", "rest_url")
        if (value := getattr(arguments, key)) is not None
    }
    settings = load_settings()
    if not settings.venues:
        return _at_one_address(load_settings(feed=chosen) if chosen else settings, arguments.ws_url)
    name = chosen.pop("venue", settings.first_feed.venue)
    return _at_one_address(load_settings(venues={name: {**chosen, "enabled": True}}).of_venue(name), arguments.ws_url)


def _at_one_address(settings: Settings, ws_url: str | None) -> Settings:
    """Of an exchange at an address of the command books and private streams come from there too, unless the settings
    say where they are: never from the venue itself.
    """
    feed = settings.feed
    if ws_url is None:
        return settings
    others = {name: getattr(feed, name) or feed.ws_url for name in ("book_ws_url", "accounts_ws_url")}
    return settings.model_copy(update={"feed": feed.model_copy(update=others)})


async def _record(settings: Settings, path: Path, seconds: float, *, with_account: bool) -> int:
    if with_account and not (settings.feed.has_account and VENUES[settings.feed.venue].account):
        raise SettingsError(f"--accounts: {settings.feed.venue} has no account: set api_key and api_secret")
    async with VENUES[settings.feed.venue].rest(settings.feed, settings.rest) as rest:
        check_symbols(settings.feed.symbols, [one.symbol for one in await rest.instruments()])
    tape = TapeWriter(path, venue=settings.feed.venue, symbols=settings.feed.symbols)
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.fields[messages]} messages"), TimeRemainingColumn())
    try:
        with Progress(*columns) as show:
            await Recorder(settings, tape, with_account=with_account).run(seconds, show)
    finally:
        tape.close()
    return tape.messages


def main(argv: Sequence[str] | None = None, *, prog: str = PROGRAM, epilog: str = "") -> None:
    """The command; `prog` and `epilog` are the name and the end of its help."""
    arguments = _arguments(argv, prog, epilog)
    path: Path | None = arguments.out
    try:
        settings = _settings_of(arguments)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = path or Path("data/tapes") / f"{settings.feed.venue}-{stamp}{SUFFIX}"
        raise_on_interrupt()
        code = 0
        try:
            asyncio.run(_record(settings, path, arguments.minutes * 60, with_account=arguments.accounts))
        except KeyboardInterrupt as interrupt:  # what was recorded until then is kept
            code = exit_code_of(interrupt)
    except (SettingsError, UnknownSymbolError, VenueError, OSError, ValueError) as error:
        if is_no_room(error):
            sys.stderr.write(f"record: {disk_full(path or Path())}\n")
            sys.exit(TRY_AGAIN)
        sys.exit(f"record: {error}")
    if not path.exists():
        sys.stderr.write("record: broken off before anything came\n")
        sys.exit(code)
    print(f"{path}: {path.stat().st_size:,} bytes; play it with `python -m sources.replay {path}`")  # noqa: T201
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
