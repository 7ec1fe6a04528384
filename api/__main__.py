"""`python -m api`: serves the REST API until SIGINT or SIGTERM, also while stores or hubs are down."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import structlog
from aiohttp import web

from api.app import ACCESS_LOG, build_app
from api.http.connections import IDLE_S, Connections
from api.http.malformed import ApiProtocol
from api.services import Services, running_services
from flows.process.descriptors import raise_descriptor_limit
from flows.process.exit_codes import refuse_to_run
from flows.process.gc import keep_loaded, tune_malloc
from flows.process.logs import set_up_logs
from flows.process.stop_signals import on_stop_signals
from flows.settings import Settings, SettingsError, load_settings
from flows.settings.account import withheld

DRAIN_S: Final = 5.0
"""Longest time that open requests may take at shutdown."""
LINE_BYTES: Final = 131_072
"""Longest first line of a request: a hundred symbols of 64 letters of 12 bytes each fit, percent-encoded."""
LINGER_S: Final = 2.0
"""How long a body that no handler read is drained, so that its sender can read the response."""
OPTIONS: Final[Mapping[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": IDLE_S,
    "lingering_time": LINGER_S,
    "max_line_size": LINE_BYTES,
}
"""Options of the server's protocol."""

_log = structlog.get_logger("api")


@asynccontextmanager
async def running_api(
    settings: Settings, *, connections: Connections | None = None
) -> AsyncIterator[tuple[str, Services]]:
    """Serves the API while entered; yields its URL and services. `SettingsError` when the port cannot be opened.
    `connections` replaces the default bounds.
    """
    connections = connections or Connections()
    api = settings.api
    async with running_services(settings) as services:
        app = build_app(services)
        runner = web.AppRunner(app, shutdown_timeout=DRAIN_S)
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - set by `setup`
        protocol = partial(
            ApiProtocol,
            runner.server,
            counted_by=app[ACCESS_LOG],
            on_malformed=lambda status: services.metrics.on_answer("none", status, 0.0),
            loop=asyncio.get_running_loop(),
            **OPTIONS,
        )
        try:
            try:
                listener = await connections.listen(protocol, api.host, api.port)
            except OSError as error:
                raise SettingsError(f"cannot listen on {api.host}:{api.port} (api.host, api.port): {error}") from error
            host, port = listener.sockets[0].getsockname()[:2]
            try:
                yield f"http://{f'[{host}]' if ':' in host else host}:{port}", services
            finally:
                listener.close()
        finally:
            await runner.cleanup()
            connections.close()


async def serve(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    on_stop_signals(stop.set)
    async with running_api(settings) as (url, _):
        if reason := withheld(settings).get("api"):
            _log.warning("accounts_withheld", reason=reason)
        _log.info("serving", url=url, docs=f"{url}/docs", token=settings.api.token is not None)
        await stop.wait()
        _log.info("stopping")


def main() -> None:
    """Reads the settings and serves."""
    argparse.ArgumentParser(
        prog="python -m api",
        description="Serves the REST API and the dashboard until SIGINT or SIGTERM.",
        epilog="Everything is a setting: api.port in marketflow.toml is MARKETFLOW_API__PORT in the environment.",
    ).parse_args()
    keep_loaded()
    tune_malloc()
    try:
        settings = load_settings()
        set_up_logs(settings.log, name="api")
        raise_descriptor_limit()
        asyncio.run(serve(settings))
    except (SettingsError, ValueError) as error:
        refuse_to_run(error)


if __name__ == "__main__":
    main()
