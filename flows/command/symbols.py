"""`marketflow symbols`: what is followed, through the API."""

from typing import Annotated, Any, TypeAlias

import typer

from flows.command.examples import epilog
from flows.command.interface import Json, Url, ask
from flows.command.tables import print_json, print_table

Names: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="SYMBOL…", help="Names in any common spelling: btcusdt, BTC/USDT.")
]
Venue: TypeAlias = Annotated[str | None, typer.Option(help="Default: the setting feed.venue of the API.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True, help="What is followed: shown and changed through the API.")
    group.command("list", epilog=epilog("symbols list"))(show)
    group.command("add", epilog=epilog("symbols add"))(add)
    group.command("remove", epilog=epilog("symbols remove"))(remove)
    app.add_typer(group, name="symbols")


def show(*, venue: Venue = None, url: Url = "", as_json: Json = False) -> None:
    """Lists the symbols that are wanted or followed."""

    async def query(client: Any) -> Any:
        return (await client.get("symbols", venue=venue)).data

    _print(ask(url, query), as_json=as_json)


def add(
    symbols: Names,
    *,
    stream: Annotated[list[str] | None, typer.Option(help="Only this stream; may be repeated.")] = None,
    venue: Venue = None,
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Follows symbols from now on: all of them, or none when one is unknown."""
    body: dict[str, Any] = {"symbols": symbols, "streams": stream or []} | ({"venue": venue} if venue else {})

    async def query(client: Any) -> Any:
        return (await client.post("subscribe", body=body)).data

    _print(ask(url, query), as_json=as_json)


def remove(
    symbols: Names,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    venue: Venue = None,
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Follows symbols no more; what is stored of them stays."""
    if not yes:
        typer.confirm(f"Follow {', '.join(symbols)} no more?", abort=True, err=True)

    async def query(client: Any) -> Any:
        return [(await client.delete("symbols", symbol, venue=venue)).data for symbol in symbols]

    _print(ask(url, query), as_json=as_json)


def _print(states: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(states)
        return
    rows = [
        (one["venue"], one["symbol"], _wanted(one), _yes(one["followed"]), " ".join(one["streams"])) for one in states
    ]
    print_table(("venue", "symbol", "wanted", "followed", "streams"), rows)


def _wanted(state: dict[str, Any]) -> str:
    """None is a symbol that is followed without a request."""
    return "" if state["wanted"] is None else _yes(state["wanted"])


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
