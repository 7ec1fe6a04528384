"""`marketflow demo` and `marketflow run`: a whole deployment, under one supervisor."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.command.examples import epilog
from flows.command.outcome import CommandError
from flows.supervision.spec import DEMO_FOLDER, DEMO_MONGO_PORT, DEMO_VENUES, LIVE_FOLDER, ProcessSpec

Folder = Annotated[Path, typer.Option(help="Where state and stores are; a second deployment there is refused.")]
Symbols = Annotated[str, typer.Option(metavar="A,B", help="Instruments; default: the setting feed.symbols.")]
MongoPort = Annotated[int, typer.Option(min=1, max=65_535, help="Port of the demo's own database.")]
Colour = Annotated[bool | None, typer.Option("--colour/--no-colour", help="Colours; default: on a terminal.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog=epilog("demo"))(demo)
    app.command(epilog=epilog("run"))(run)


def demo(
    *,
    folder: Folder = DEMO_FOLDER,
    symbols: Symbols = "",
    speed: Annotated[str, typer.Option(metavar="N|max", help="Seconds of market time a second; default: 1.")] = "",
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same market.")] = None,
    venues: Annotated[
        str, typer.Option(metavar="A,B", help="Exchanges that the market is shown at, each in its own protocol.")
    ] = ",".join(DEMO_VENUES),
    mongo_port: MongoPort = DEMO_MONGO_PORT,
    colour: Colour = None,
) -> None:
    """Starts everything on a synthetic market: no network and no account needed.

    Its folder is made anew each time, as every demo is a market of its own; one that holds anything else is refused.
    """
    from flows.settings import load_settings
    from flows.supervision.deployment import demo_environment, demo_greeting, demo_processes, variables_of
    from flows.supervision.known import holds_another
    from flows.supervision.supervisor import supervise

    _follow(symbols)
    shown = _venues(venues)
    if holds_another(folder):
        raise CommandError(f"{folder} holds something else than a demo, which would be lost: name another by --folder")
    options = [*(("--speed", _speed(speed)) if speed else ()), *(("--seed", str(seed)) if seed is not None else ())]
    settings = load_settings()
    specs = demo_processes(settings, folder, mongo_port=mongo_port, venues=shown)
    greeting = demo_greeting(settings, folder, mongo_port=mongo_port, venues=shown)
    variables = variables_of(settings, demo_environment(settings, folder, mongo_port=mongo_port, venues=shown))
    specs = [_with(spec, options) for spec in specs]
    ended = supervise(specs, folder=folder, anew=True, colour=colour, greeting=greeting, variables=variables)
    raise typer.Exit(ended)


def run(
    *,
    folder: Folder = LIVE_FOLDER,
    symbols: Symbols = "",
    only: Annotated[
        str, typer.Option(metavar="NAME", help="Only flow, api or mongod, unsupervised: for a container of its own.")
    ] = "",
    colour: Colour = None,
) -> None:
    """Starts database, flow and interface against the live exchange, until Ctrl-C or SIGTERM."""
    from flows.settings import load_settings
    from flows.supervision.deployment import become, live_processes, variables_of
    from flows.supervision.supervisor import supervise

    _follow(symbols)
    settings = load_settings()
    specs = live_processes(settings, folder)
    if only:
        raise typer.Exit(become(_named(only, specs)))
    variables = variables_of(settings, specs[-1].env)
    raise typer.Exit(supervise(specs, folder=folder, anew=False, colour=colour, variables=variables))


def _named(name: str, specs: list[ProcessSpec]) -> ProcessSpec:
    found = {spec.name: spec for spec in specs}
    if name not in found:
        raise typer.BadParameter(f"there is no {name!r} here: write {', '.join(found)}", param_hint="--only")
    return found[name]


def _with(spec: ProcessSpec, options: list[str]) -> ProcessSpec:
    """The exchange with these options, of which the last one counts; every other process as it is."""
    return spec._replace(argv=(*spec.argv, *options)) if spec.name == "exchange" else spec


def _venues(text: str) -> tuple[str, ...]:
    """Those of the demo in an option, in the demo's order: its first one is at the root of its exchange."""
    chosen = {name.strip().lower() for name in text.split(",")} - {""}
    if not chosen or not chosen <= set(DEMO_VENUES) or DEMO_VENUES[0] not in chosen:
        others = " and ".join(DEMO_VENUES[1:])
        raise typer.BadParameter(f"write {DEMO_VENUES[0]}, or beside it {others}", param_hint="--venues")
    return tuple(name for name in DEMO_VENUES if name in chosen)


def _follow(symbols: str) -> None:
    """Puts the names in an option into the environment, where the processes find them."""
    from flows.names import symbol_of
    from flows.settings import PREFIX

    try:
        names = tuple(symbol_of(name.strip()) for name in symbols.split(",") if name.strip())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--symbols") from None
    if names:
        os.environ[f"{PREFIX}FEED__SYMBOLS"] = ",".join(names)


def _speed(text: str) -> str:
    from sources.replay.market.player import speed_of

    try:
        speed_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--speed") from None
    return text
