"""`marketflow lake`: closed days of the stores as Parquet files with a manifest, and whether those are whole."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from flows.command.backup import ProgressLine
from flows.command.examples import epilog
from flows.command.folder import Folder, folder_of
from flows.command.interface import Json
from flows.command.outcome import CommandError, ExitCode, say
from flows.command.tables import print_json, print_table

if TYPE_CHECKING:
    from sinks.lake.check import LakeCheck
    from sinks.lake.series import LakeSeries

AnyKind: TypeAlias = Literal["trades", "candles", "incidents"]
Where = Annotated[
    str, typer.Option("--lake", help="Its folder, or s3://bucket/folder; default: lake.path.", show_default=False)
]
Venue = Annotated[str | None, typer.Option(help="Only this exchange; default: all of the settings.")]
Symbols = Annotated[str, typer.Option(help="Comma-separated, as the venue names them; default: all.")]
Kind = Annotated[AnyKind | None, typer.Option(help="Only trades, candles or incidents.")]
Start = Annotated[str, typer.Option(help="First day: a day, ISO-8601 or ms; default: the oldest.")]
End = Annotated[str, typer.Option(help="Day behind the last one; default: the newest.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(lake_itself)
    group.command("write", epilog=epilog("lake write"))(write)
    group.command("verify", epilog=epilog("lake verify"))(verify)
    app.add_typer(group, name="lake")


def lake_itself(context: typer.Context) -> None:
    """Closed days as Parquet files with a manifest: written, verified. Without a command it writes to lake.path."""
    if context.invoked_subcommand is None:
        write(context)


def write(
    context: typer.Context,
    *,
    lake: Where = "",
    venue: Venue = None,
    symbols: Symbols = "",
    kind: Kind = None,
    start: Start = "",
    end: End = "",
    every_day: Annotated[
        bool, typer.Option("--all", help="Compare every day with the stores, not only those that may have changed.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, max=86_400, help="Seconds to wait while another process writes.")] = 0.0,
    folder: Folder = None,
) -> None:
    """Writes the closed days that the lake lacks, and those that a repair has changed, also beside a live flow.

    It can be broken off and run again. A day that the stores have no more, or only in part, stays as it is.
    """
    from flows.lake.update import text_of, update_lake
    from flows.settings import load_settings
    from sinks.lake.manifest import LakeError
    from sinks.lake.run import LakeChoice

    settings = load_settings()
    first, behind = _times(start, end)
    choice = LakeChoice(_names(symbols), (kind,) if kind else (), first, behind, every_day)
    try:
        with ProgressLine() as progress:
            report = update_lake(
                settings.of_venue(venue) if venue else settings,
                _place(lake),
                choice,
                folder=folder_of(context, folder),
                wait_s=wait,
                on_progress=progress.show,
            )
    except LakeError as error:
        raise CommandError(str(error)) from error
    for line in report.changed:
        say(line)
    for line in report.faults:
        say(line)
    say(text_of(report))
    if report.faults:
        raise typer.Exit(ExitCode.FAILED)


def verify(
    *,
    lake: Where = "",
    venue: Annotated[str, typer.Option(help="Only this exchange; default: all.")] = "",
    symbols: Symbols = "",
    kind: Kind = None,
    start: Start = "",
    end: End = "",
    as_json: Json = False,
) -> None:
    """Reads every file and compares it with its manifest: digest, rows, ids, times and values.

    Prints what each series has, and what proves its days. The exit code is 1 where a file is missing, damaged or
    unlisted. It needs no stores.
    """
    from sinks.lake.check import LakeCheck
    from sinks.lake.manifest import LakeError
    from sinks.lake.place import Lake

    place, (first, behind) = _place(lake), _times(start, end)
    try:
        opened = Lake(place)
        if not opened.is_there():
            raise CommandError(f"there is no lake at {place}: write one, or name its folder by --lake")
        with ProgressLine() as progress:
            check = LakeCheck(opened, on_progress=progress.show)
            check.check(_chosen(opened.series(venue), _names(symbols), (kind,) if kind else ()), first, behind)
    except LakeError as error:
        raise CommandError(str(error)) from error
    _show(check, as_json=as_json)
    for fault in check.faults:
        say(" ".join(filter(None, (fault.series, fault.day))) + f": {fault.text}")
    if check.faults:
        raise typer.Exit(ExitCode.FAILED)


def _show(check: "LakeCheck", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print_json(msgspec.to_builtins({"series": check.summaries, "faults": check.faults}))
        return
    columns = "venue", "kind", "symbol", "days", "first", "last", "rows", "MB", "complete", "repaired", "unproven"
    print_table(
        columns,
        [
            [one.venue, one.kind, one.symbol, f"{one.days:,}", one.first, one.last, f"{one.rows:,}",
             f"{one.size / 1e6:,.1f}", f"{one.complete:,}", f"{one.repaired:,}", f"{one.unproven:,}"]
            for one in check.summaries
        ],
    )  # fmt: skip


def _chosen(series: "list[LakeSeries]", symbols: tuple[str, ...], kinds: tuple[AnyKind, ...]) -> "list[LakeSeries]":
    return [
        one
        for one in series
        if (not symbols or one.symbol in symbols) and (not kinds or one.kind.partition("-")[0] in kinds)
    ]


def _place(lake: str) -> str:
    from flows.settings import load_settings

    if lake:
        return lake
    path = load_settings().lake.path
    if path is None:
        raise typer.BadParameter("name the folder of the lake, or set lake.path", param_hint="--lake")
    return path


def _names(text: str) -> tuple[str, ...]:
    from flows.names import symbol_of

    return tuple(symbol_of(name.strip()) for name in text.split(",") if name.strip())


def _times(start: str, end: str) -> tuple[int, int]:
    from flows.times import span_ms_of

    try:
        return span_ms_of(start, end, 1 << 62)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
