"""The API, as commands ask it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from flows.command.outcome import CommandError

if TYPE_CHECKING:
    from api.mcp.client import RestClient

Url: TypeAlias = Annotated[str, typer.Option(metavar="URL", help="Address of the API; default: that of the settings.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="For programs.")]


def ask(url: str, query: "Callable[[RestClient], Awaitable[Any]]") -> Any:
    """What the API at this address, or that of the settings, answers. `CommandError` when it refuses or is away,
    `SettingsError` for wrong settings.
    """
    import httpx

    from api.mcp.client import Failure, RestClient
    from flows.settings import load_settings

    async def run() -> Any:
        async with RestClient(load_settings(), url=url) as client:
            return await query(client)

    try:
        return asyncio.run(run())
    except httpx.InvalidURL as error:
        raise typer.BadParameter(f"{url!r}: {error}", param_hint="--url") from None
    except Failure as failure:
        raise CommandError(failure.message) from failure
