"""Folders that the settings name for writing, and files that they name for reading: whether this user can use them
here. Settings are also read elsewhere, as by a program on another machine, so only the checks for people look.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flows.process.disk import unwritable

if TYPE_CHECKING:
    from flows.settings import Settings


def written_folders(settings: "Settings") -> dict[str, Path]:
    """The folders that are written to, by the settings that name them: the trade store, and what is set besides."""
    found: dict[str, Path | None] = {
        "trades.path": settings.trades.path if settings.trades.enabled else None,
        "lake.path": Path(settings.lake.path) if settings.lake.path and "://" not in settings.lake.path else None,
        "alerts.path": settings.alerts.path,
        "log.file": settings.log.file and settings.log.file.parent,
        "backfill.cache": settings.backfill.cache if "cache" in settings.backfill.model_fields_set else None,
    }
    return {key: path for key, path in found.items() if path is not None}


def unusable(settings: "Settings") -> Iterator[str]:
    """A sentence for each folder that cannot be made or written, and for each file that cannot be read."""
    for key, folder in written_folders(settings).items():
        if reason := unwritable(folder):
            yield f"{key}: {folder} cannot be used: {reason}: change that, or name a folder elsewhere"
    for name in ("bus", "kafka"):
        section = getattr(settings, name)
        for key in type(section).model_fields:
            path = getattr(section, key)
            if isinstance(path, Path) and (reason := _unreadable(path)):
                yield f"{name}.{key}: {path} cannot be read: {reason}"


def _unreadable(path: Path) -> str:
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return error.strerror or str(error)
