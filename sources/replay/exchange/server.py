"""The replay exchange on a port: WebSocket streams, REST, and the control endpoint, all on one.

async with running_exchange(market, speed="max") as exchange:
    ...  # connect to exchange.ws_url + "/stream", GET exchange.rest_url + "/api/v3/depth?symbol=BTCUSDT"
    exchange.inject(Gap(stream="btcusdt@trade", count=5))
    await exchange.finished.wait()
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from sources.replay.exchange.control import add_control
from sources.replay.exchange.dialect import Dialect, HandshakeError
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.limits import Limits, RateMeter
from sources.replay.exchange.rest_server import RestServer
from sources.replay.market.market import Market
from sources.replay.market.player import Speed

_FIVE_MINUTES_S = 300
_LINE_BYTES = 131_072
"""Longest request line: it names as many streams as a connection may have."""
_SHUTDOWN_S = 2.0


class _StreamServer:
    """Accepts WebSocket connections."""

    def __init__(self, exchange: ReplayExchange) -> None:
        self._exchange = exchange
        self._connections = RateMeter(most=exchange.limits.connections_per_5min, window_s=_FIVE_MINUTES_S)

    def add_to(self, app: web.Application) -> None:
        """Adds every path that carries streams of the venue."""
        for path in self._exchange.dialect.paths:
            app.router.add_get(path, self._connect)
            if path == "/":  # below a name it may be left out
                app.router.add_get("", self._connect)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        dialect = self._exchange.dialect
        self._exchange.contact()
        try:
            conversation = dialect.open(request, self._exchange)
        except HandshakeError as error:
            return dialect.refuse(error.status, error.code, error.message)
        if not self._connections.admits(asyncio.get_running_loop().time()):
            return dialect.refuse(429, -1003, "Too many connection attempts")
        try:
            return await self._exchange.serve(request, conversation)
        except ConnectionResetError:
            return web.Response()  # is not sent: the client went away during its handshake


def build_app(*exchanges: ReplayExchange) -> web.Application:
    """The application: streams, REST and control endpoint of the first exchange, and of each further one the same below
    the name of its venue.
    """
    app = web.Application()
    for exchange in exchanges[1:]:
        prefix = _prefix(exchange)
        app.add_subapp(prefix, _add(exchange, web.Application(middlewares=[_below(prefix)])))
    return _add(exchanges[0], app)


def _add(exchange: ReplayExchange, app: web.Application) -> web.Application:
    _StreamServer(exchange).add_to(app)
    add_control(app, exchange)
    app.router.add_route("*", "/{path:.*}", RestServer(exchange).on_request)
    return app


def _prefix(exchange: ReplayExchange) -> str:
    return f"/{exchange.dialect.venue}"


def _below(prefix: str) -> Middleware:
    """Takes the prefix from the path of a request: a venue knows its own paths only."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.rel_url.raw_path.removeprefix(prefix) or "/"
        url = request.rel_url.with_path(path, encoded=True, keep_query=True)
        return await handler(request.clone(rel_url=url))

    return middleware


@contextlib.asynccontextmanager
async def running_exchange(
    market: Market,
    *,
    dialect: Dialect | None = None,
    speed: Speed = "max",
    host: str = "127.0.0.1",
    port: int = 0,
    limits: Limits | None = None,
    settle_s: float = 0.0,
    start_now: bool = False,
    paused: bool = False,
    wall_ms: Callable[[], int] | None = None,
) -> AsyncIterator[ReplayExchange]:
    """A market served on `host` and `port` (0: a free one) for the length of the block; see `ReplayExchange`.

    With `paused` the market waits for `resume`. `OSError` when the port cannot be bound; an error of the
    market is logged when it happens and raised at the end of the block.
    """
    exchange = ReplayExchange(
        market, dialect=dialect, speed=speed, limits=limits, settle_s=settle_s, start_now=start_now, wall_ms=wall_ms
    )
    if paused:
        exchange.pause()
    async with serving(exchange, host=host, port=port):
        yield exchange


@contextlib.asynccontextmanager
async def serving(*exchanges: ReplayExchange, host: str, port: int) -> AsyncIterator[None]:
    """The same for exchanges that are made already, all on one port; where each is, `build_app` says."""
    runner = web.AppRunner(
        build_app(*exchanges), access_log=None, shutdown_timeout=_SHUTDOWN_S, max_line_size=_LINE_BYTES
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address = _address(runner)
        async with contextlib.AsyncExitStack() as playing:
            for number, exchange in enumerate(exchanges):
                base = address + (_prefix(exchange) if number else "")
                exchange.ws_url, exchange.rest_url = f"ws://{base}", f"http://{base}"
                await playing.enter_async_context(_playing(exchange))
            yield
    finally:
        for exchange in exchanges:
            await exchange.close()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _playing(exchange: ReplayExchange) -> AsyncIterator[None]:
    playing = asyncio.create_task(exchange.run(), name="market")
    try:
        yield
    finally:
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
