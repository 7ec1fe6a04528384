"""`marketflow backup` and `marketflow restore`: copies of both stores, and stores from copies."""

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Final, Self

import typer

from flows.command.examples import epilog
from flows.command.folder import Folder, folder_of
from flows.command.outcome import CommandError, say
from flows.texts import counted

if TYPE_CHECKING:
    from flows.backup.manifest import Manifest
    from flows.backup.place import Place

LINE_EVERY_S: Final = 5.0
"""Least time between two lines where there is no terminal."""


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog=epilog("backup"))(backup)
    app.command(epilog=epilog("restore"))(restore)


def backup(
    context: typer.Context,
    to: Annotated[Path, typer.Argument(metavar="BACKUP", help="A new folder.")],
    *,
    folder: Folder = None,
) -> None:
    """Copies candles, incidents, statistics and trades into a new folder, also beside a live flow.

    The folder appears when it is complete, with the digest of every file. The flow's recovered state is no part of it.
    """
    from flows.backup.manifest import BackupError
    from flows.backup.take import take_backup
    from flows.process.version import version

    try:
        with ProgressLine() as progress:
            manifest = take_backup(_place(context, folder), to, version=version(), on_progress=progress.show)
    except BackupError as error:
        raise CommandError(str(error)) from error
    say(f"{to} holds {_contents(manifest)}")


def restore(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="A folder that marketflow backup has made.")],
    *,
    folder: Folder = None,
) -> None:
    """Checks a backup and makes the stores of a deployment from it, which must be empty and must not run.

    A flow that is started there goes on from the newest trades of the backup, and fetches what is missing since.
    """
    from flows.backup.manifest import BackupError
    from flows.backup.restore import restore_backup

    try:
        with ProgressLine() as progress:
            manifest = restore_backup(source, _place(context, folder), on_progress=progress.show)
    except BackupError as error:
        raise CommandError(str(error)) from error
    say(f"restored {_contents(manifest)}, of {manifest.created_at}")


def _place(context: typer.Context, folder: Path | None) -> "Place":
    from flows.backup.place import place_of
    from flows.process.logs import set_up_logs
    from flows.settings import load_settings

    settings = load_settings()
    set_up_logs(settings.log)
    return place_of(settings, folder_of(context, folder))


def _contents(manifest: "Manifest") -> str:
    documents = sum(each.documents for each in manifest.collections.values())
    trades = sum(each.trades for each in manifest.partitions.values())
    size = sum(file.size for file in manifest.files)
    return f"{counted(documents, 'document')} and {counted(trades, 'trade')} in {counted(size, 'byte')}"


class ProgressLine:
    """Progress on standard error: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

        from flows.process.terminal_bar import terminal_bar

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = terminal_bar(*columns)
        self._tasks = {"": self._progress.add_task("", visible=False)}
        self._line_s = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, what: str, done: int, total: int) -> None:
        """So much of a step is done."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what)
        self._progress.update(self._tasks[what], completed=done, total=total or None)
        if self._progress.disable and time.monotonic() - self._line_s >= LINE_EVERY_S:
            self._line_s = time.monotonic()
            say(f"{what}: {done:,}{f' of {total:,}' if total else ''}")
