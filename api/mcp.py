"""`python -m api.mcp [--http] [--port N]`: the tools for agents as a server of the Model Context Protocol.

It speaks over standard input and output, or with `--http` over streamable HTTP at `/mcp`, on this machine only. It has
no store of its own: it asks the REST interface. Needs the extra `tools`.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from api.rest_client import Failure, RestClient
from api.tools import Tools
from flows.settings import Settings, SettingsError, load_settings

try:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations
except ModuleNotFoundError:
    sys.exit("marketflow: the tools for agents need the package mcp: pip install 'marketflow[tools]'")

INSTRUCTIONS: Final = (
    "Market data of crypto exchanges, as one deployment of marketflow has it. Every answer has data, freshness and "
    "completeness: do not take stale data for current, and mind freshness.origin, which tells live from replayed data. "
    "An error says what is missing and, where it helps, how long to wait. Nothing can be changed or traded."
)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def build_server(tools: Tools) -> MCPServer:
    """The server with every tool, each marked as reading only."""
    server = MCPServer("marketflow", instructions=INSTRUCTIONS, log_level="WARNING")
    for tool in (
        tools.get_current_price,
        tools.get_candles,
        tools.get_technical_indicators,
        tools.get_volume_profile,
        tools.get_liquidity_vacuums,
        tools.get_order_book,
        tools.get_data_quality,
        tools.current_position,
    ):
        annotations = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
        server.tool(annotations=annotations)(_readable(tool))
    return server


def _readable(tool: Callable[Arguments, Awaitable[Result]]) -> Callable[Arguments, Awaitable[Result]]:
    """The tool with failures as the protocol has them, so that the agent reads the reason."""

    @wraps(tool)
    async def ask(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return await tool(*args, **kwargs)
        except Failure as failure:
            raise ToolError(str(failure)) from failure

    return ask


async def serve(settings: Settings, *, http: bool, port: int) -> None:
    """Serves until the client or the process ends."""
    async with RestClient(settings) as client:
        server = build_server(Tools(client, rows=settings.tools.rows))
        if http:
            await server.run_streamable_http_async(host=settings.tools.host, port=port)
        else:
            await server.run_stdio_async()


def main() -> None:
    """Reads arguments and settings, and serves."""
    parser = argparse.ArgumentParser(prog="python -m api.mcp", description="Tools for agents.")
    parser.add_argument("--http", action="store_true", help="streamable HTTP instead of standard input and output")
    parser.add_argument("--port", type=int, help="port with --http; default: the setting tools.port")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(f"marketflow: {error}")
    asyncio.run(serve(settings, http=arguments.http, port=arguments.port or settings.tools.port))


if __name__ == "__main__":
    main()
