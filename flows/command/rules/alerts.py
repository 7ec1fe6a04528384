"""`marketflow alerts`: rules and what has fired, through the API."""

from typing import Annotated, Any, Final, Literal, TypeAlias

import typer

from flows.command.examples import epilog
from flows.command.interface import Json, Url, ask
from flows.command.tables import print_json, print_table

Kind: TypeAlias = Literal[
    "price_above",
    "price_below",
    "price_cross",
    "price_change",
    "silence",
    "gap",
    "unsynced",
    "mismatch",
    "store_outage",
]
Direction: TypeAlias = Literal["up", "down", "either"]
Rearm: TypeAlias = Literal["once", "on_return", "after"]
Symbol = Annotated[str | None, typer.Option(help="In any common spelling; default: every one that is followed.")]
Venue = Annotated[str | None, typer.Option(help="Only this exchange; default: all that have the symbol.")]

_MOST: Final = 1e15
"""More than any number of a rule; the interface has the bounds of each."""
_COLUMNS = "id", "kind", "venue", "symbol", "terms", "rearm", "origin", "fired"
_TERMS = "price", "percent", "span_s", "for_s"


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True, help="Rules of alerts: shown and changed through the API.")
    group.command("list", epilog=epilog("alerts list"))(show)
    group.command("add", epilog=epilog("alerts add"))(add)
    group.command("remove", epilog=epilog("alerts remove"))(remove)
    group.command("history", epilog=epilog("alerts history"))(history)
    app.add_typer(group, name="alerts")


def show(*, url: Url = "", as_json: Json = False) -> None:
    """Lists the rules: those of the settings first, then the oldest; each with the time at which it fired last."""

    async def query(client: Any) -> Any:
        return (await client.get("alerts")).data["rules"]

    _print(ask(url, query), as_json=as_json)


def add(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="What fires, as in price_above or silence.")],
    symbol: Annotated[
        str, typer.Argument(metavar="[SYMBOL]", help="Default: every one, of kinds without a price.")
    ] = "",
    *,
    price: Annotated[
        float | None, typer.Option(min=0, max=_MOST, help="The level of price_above, price_below and price_cross.")
    ] = None,
    percent: Annotated[float | None, typer.Option(min=0, max=_MOST, help="The size of a price_change.")] = None,
    span_s: Annotated[float | None, typer.Option("--span", min=0, max=_MOST, help="Its time, in seconds.")] = None,
    direction: Annotated[Direction | None, typer.Option(help="Only up or down; default: either.")] = None,
    for_s: Annotated[
        float | None,
        typer.Option(
            "--for", min=0, max=_MOST, help="Seconds that silence, unsynced or store_outage last before it fires."
        ),
    ] = None,
    rearm: Annotated[Rearm | None, typer.Option(help="once (default), on_return or after.")] = None,
    rearm_s: Annotated[
        float | None, typer.Option("--rearm-after", min=0, max=_MOST, help="Seconds until it may fire again.")
    ] = None,
    venue: Venue = None,
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Makes a rule, in effect within about a second. The same terms twice are one rule."""
    if rearm_s is not None and rearm is None:
        rearm = "after"
    terms = {
        "kind": kind, "symbol": symbol or None, "venue": venue, "price": price, "percent": percent, "span_s": span_s,
        "direction": direction, "for_s": for_s, "rearm": rearm, "rearm_s": rearm_s,
    }  # fmt: skip
    body = {name: value for name, value in terms.items() if value is not None}

    async def query(client: Any) -> Any:
        return (await client.post("alerts", body=body)).data

    made = ask(url, query)
    _print([made], as_json=as_json)


def remove(
    rules: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of rules, as alerts list shows them.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Deletes rules; what they have fired stays in the history. Those of the settings are removed there."""
    if not yes:
        typer.confirm(f"Delete {', '.join(rules)}?", abort=True, err=True)

    async def query(client: Any) -> Any:
        return [(await client.delete("alerts", rule)).data for rule in rules]

    _print(ask(url, query), as_json=as_json)


def history(
    *,
    rule: Annotated[str | None, typer.Option(help="Only of the rule with this id.")] = None,
    symbol: Symbol = None,
    venue: Venue = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="The newest so many.")] = 20,
    url: Url = "",
    as_json: Json = False,
) -> None:
    """Lists what has fired, the newest first."""

    async def query(client: Any) -> Any:
        return (await client.get("alerts", "history", rule=rule, symbol=symbol, venue=venue, limit=limit)).data[
            "alerts"
        ]

    found = ask(url, query)
    if as_json:
        print_json(found)
        return
    print_table(("stored", "rule", "what"), [(one["stored"], one["rule"], one["text"]) for one in found])


def _print(rules: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(rules)
        return
    print_table(_COLUMNS, [_row(rule) for rule in rules])


def _row(rule: dict[str, Any]) -> tuple[str, ...]:
    terms = [f"{name}={rule[name]:g}" for name in _TERMS if rule[name] is not None]
    terms += [rule["direction"]] if rule["kind"] == "price_change" and rule["direction"] != "either" else []
    after = f" {rule['rearm_s']:g} s" if rule["rearm_s"] is not None else ""
    fired = rule["last"]["text"] if rule["last"] else ("" if rule["watched"] else "alerts are off")
    return (
        rule["id"], rule["kind"], rule["venue"] or "all", rule["symbol"] or "all", " ".join(terms),
        f"{rule['rearm']}{after}", rule["origin"], fired,
    )  # fmt: skip
