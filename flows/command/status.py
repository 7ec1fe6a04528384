"""`marketflow status`: what of a deployment is live."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import typer

from flows.command.examples import epilog
from flows.command.interface import Json, Url, ask
from flows.command.outcome import ExitCode
from flows.command.tables import print_json, print_table

CURRENT: Final = ("live", "quiet")
"""States in which data is current, as in `api/live/freshness.py`."""
_UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=epilog("status"))(status)


def status(*, url: Url = "", as_json: Json = False) -> None:
    """Shows what of a deployment is live: instruments, flow, stores. The exit code is 0 only when all of it is."""

    async def query(client: Any) -> Any:
        return (await client.get("status")).data

    answer = ask(url, query)
    if as_json:
        print_json(answer)
    else:
        _show(answer)
    if not is_live(answer):
        raise typer.Exit(ExitCode.FAILED)


def is_live(answer: dict[str, Any]) -> bool:
    """Whether every part is up, a flow is alive, and every instrument's data is current."""
    return bool(
        not answer["missing"]
        and all(part["up"] for part in answer["parts"])
        and answer["flows"]
        and all(flow["alive"] for flow in answer["flows"])
        and answer["instruments"]
        and all(one["state"] in CURRENT for one in answer["instruments"])
    )


def age(milliseconds: int | None) -> str:
    """An age in words, in the largest unit that it fills; empty when unknown."""
    if milliseconds is None:
        return ""
    size, unit = next(((size, unit) for size, unit in _UNITS if milliseconds >= size), (1, "ms"))
    return f"{milliseconds // size} {unit}"


def _show(answer: dict[str, Any]) -> None:
    from flows.foreign import visible

    typer.echo(f"{', '.join(_venues(answer))}; {answer['origin'] or 'origin unknown'}\n")
    print_table(("venue", "instrument", "state", "for", "channels", "reason"), _instruments(answer["instruments"]))
    typer.echo()
    print_table(("part", "state", "age", "reason"), _parts(answer))
    if answer["shards"]:
        typer.echo()
        print_table(("shard", "owner", "epoch", "since"), _shards(answer["shards"]))
    missing = answer["missing"] or ([] if is_live(answer) else ["a flow that reports its instruments"])
    for sentence in missing:
        typer.echo(f"missing: {visible(sentence)}")


def _venues(answer: dict[str, Any]) -> list[str]:
    """Those of the flows, as the hubs name them; before a hub is reached that of the settings."""
    return list(dict.fromkeys(flow["venue"] for flow in answer["flows"])) or [answer["venue"]]


def _shards(shards: Iterable[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for one in shards:
        yield one["shard"], one["owner"] or "none", str(one["epoch"]), one["since"] or ""


def _instruments(instruments: Iterable[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for one in instruments:
        channels = " ".join(f"{channel['channel']}:{channel['state']}" for channel in one["channels"])
        yield one["venue"], one["symbol"], one["state"], age(one["for_ms"]), channels, one["reason"]


def _parts(answer: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for flow in answer["flows"]:
        yield f"flow of {flow['venue']}", _word(flow["alive"]), age(flow["heartbeat_ms_ago"]), ""
    for part in answer["parts"]:
        yield part["name"], _word(part["up"]), f"since {part['since']}", part["reason"]
    for one in answer["channels"]:
        yield f"channel {one['channel']} of {one['venue']}", "", age(one["age_ms"]), ""


def _word(is_up: bool) -> str:
    return "live" if is_up else "down"
