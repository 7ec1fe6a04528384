"""`marketflow tail`: the broadcast on standard output, a JSON object a line."""

import asyncio
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import typer

from flows.command.examples import epilog
from flows.command.outcome import CommandError, say

REFUSED: Final = range(400, 500)
"""HTTP statuses of a hub that will never take these arguments."""
OPEN_TIMEOUT_S: Final = 5.0
PING_S: Final = 5.0
"""Interval and timeout of pings: a hub that hangs is noticed within twice that."""
QUIET_S: Final = 5.0
"""So long nothing has come at all: a name may be misspelt."""


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=epilog("tail"))(tail)


def tail(
    *,
    symbol: Annotated[list[str] | None, typer.Option("--symbol", "-s", help="Only this; may be repeated.")] = None,
    venue: Annotated[list[str] | None, typer.Option("--venue", help="Only this; may be repeated.")] = None,
    channel: Annotated[
        list[str] | None, typer.Option("--channel", "-c", help="MarketData, ChartUpdate, Candle, Trade, …; repeated.")
    ] = None,
    timeframe: Annotated[list[str] | None, typer.Option("--timeframe", "-t", help="Only this; repeated.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="End after so many messages; 0: never.")] = 0,
    url: Annotated[str, typer.Option(metavar="URL", help="Address of the hub; default: that of the settings.")] = "",
) -> None:
    """Writes the messages of the broadcast to standard output as NDJSON, until Ctrl-C.

    A hub that restarts is followed again, and what it still has of the time between is not missed.
    """
    from flows.settings import load_settings

    settings = load_settings()
    named = {"channels": channel, "symbols": symbol, "venues": venue, "timeframes": timeframe}
    query = {name: _joined(values) for name, values in named.items()}
    follower = Follower(url or settings.hub_urls[0], query, token=settings.hub.best_token, count=count, write=_write)
    asyncio.run(follower.run())


class Follower:
    """Follows one hub and writes each of its messages as a line."""

    def __init__(
        self,
        url: str,
        query: dict[str, str],
        *,
        token: str | None,
        count: int,
        write: Callable[[str], None],
        quiet_s: float = QUIET_S,
    ) -> None:
        self._url = urlsplit(url)
        self._query = {name: value for name, value in query.items() if value}
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._left = count
        self._write = write
        self._quiet_s = quiet_s
        self._seq = 0
        self._was_connected = False
        self._has_written = False

    async def run(self) -> None:
        """Follows until `count` messages are written, for ever with 0. `CommandError` when the hub refuses, or cannot
        be reached the first time. Says once when nothing comes.
        """
        waiting = asyncio.get_running_loop().call_later(self._quiet_s, self._say_quiet)
        try:
            await self._run()
        finally:
            waiting.cancel()

    def _say_quiet(self) -> None:
        if self._has_written or not self._was_connected:
            return
        symbols = self._query.get("symbols", "").replace(",", ", ")
        of = f" of {symbols}" if symbols else ""
        say(f"nothing has come{of} in {self._quiet_s:g} s: marketflow symbols list shows what is followed")

    async def _run(self) -> None:
        from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException

        from flows.backoff import backoff_s

        failures = 0
        while True:
            failures += 1
            before = self._seq
            try:
                if await self._follow():
                    return
                reason = "it has closed the connection"
            except InvalidURI as error:
                raise CommandError(f"{self._where} is no address of a hub: write ws://127.0.0.1:8765/ws") from error
            except InvalidStatus as error:
                reason = f"HTTP {error.response.status_code}, {_text_of(error.response.body)}"
                if error.response.status_code in REFUSED:
                    raise CommandError(f"the hub at {self._where} refuses: {reason}") from error
            except (OSError, TimeoutError, WebSocketException) as error:
                reason = str(error) or type(error).__name__
            if not self._was_connected:
                raise CommandError(f"no hub answers at {self._where} ({reason}): marketflow run starts one")
            if self._seq != before:
                failures = 1
            say(f"the hub at {self._where} is away ({reason}); trying again")
            await asyncio.sleep(backoff_s(failures))

    @property
    def _where(self) -> str:
        """The address without what may be a secret in its query."""
        return urlunsplit(self._url._replace(query="", fragment=""))

    async def _follow(self) -> bool:
        """Follows one connection; whether everything is written that was wanted."""
        import msgspec
        from websockets.asyncio.client import connect

        from flows.process.proxy import is_loopback
        from flows.websocket import leaving

        query = dict(parse_qsl(self._url.query)) | self._query
        if self._seq:
            query["resume_after"] = str(self._seq)
        address = urlunsplit(self._url._replace(query=urlencode(query)))
        async with (
            connect(
                address,
                additional_headers=self._headers,
                compression=None,
                max_size=None,
                proxy=None if is_loopback(address) else True,
                open_timeout=OPEN_TIMEOUT_S,
                ping_interval=PING_S,
                ping_timeout=PING_S,
            ) as hub,
            leaving(hub),
        ):
            self._was_connected = True
            async for frame in hub:
                text = frame if isinstance(frame, str) else frame.decode()
                message: Any = msgspec.json.decode(text)
                self._seq = max(self._seq, message.get("seq") or 0)
                self._has_written = True
                self._write(text)
                if self._left == 1:
                    return True
                self._left = max(0, self._left - 1)
        return False


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # a reader of a pipe waits for it


def _joined(values: Iterable[str] | None) -> str:
    return ",".join(values or ())


def _text_of(body: bytes | bytearray | None) -> str:
    from flows.foreign import visible

    return visible((body or b"").decode(errors="replace").strip(), limit=200) or "without a reason"
