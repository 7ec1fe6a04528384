"""Brings the lake of a deployment up to date with its stores, venue by venue."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from msgspec import structs
from pymongo.errors import PyMongoError

from flows.backup.manifest import BackupError
from flows.backup.place import database_of, place_of
from flows.clock import wall_ms
from flows.settings import Settings
from flows.texts import counted, database_reason
from sinks.dataframes import DatabaseAwayError, Frames
from sinks.lake.manifest import LakeError
from sinks.lake.place import Lake
from sinks.lake.run import LakeChoice, LakeReport, LakeRun
from sinks.trades.reader import TradeReader
from sinks.trades.store import TradeStoreError

OnProgress = Callable[[str, int, int], None]


def update_lake(
    settings: Settings,
    to: Path | str,
    choice: LakeChoice,
    *,
    folder: Path,
    wait_s: float = 0.0,
    on_progress: OnProgress = lambda *_: None,
) -> LakeReport:
    """Writes to the lake in `to` what the deployment in `folder` has stored, also beside a live flow. `LakeError` when
    the lake cannot be written, as while another process has written to it for `wait_s`, or the stores cannot be read.
    """
    lake, whole = Lake(to), LakeReport()
    try:
        with ExitStack() as opened:
            opened.enter_context(lake.writing(wait_s=wait_s))
            database = opened.enter_context(database_of(place_of(settings, folder), is_new=False))
            if database is None:
                raise LakeError("mongo.enabled is off: candles and incidents say whether a day is whole")
            for venue, feed in settings.by_venue.items():
                place = place_of(settings.of_venue(venue), folder)
                trades = place.trades / venue if place.trades and (place.trades / venue).is_dir() else None
                frames = opened.enter_context(Frames(settings.mongo, place.trades or folder, venue=venue))
                reader = opened.enter_context(TradeReader(trades)) if trades else None
                now_ms = wall_ms() if feed.is_timely else None
                run = LakeRun(lake, frames, database, reader, now_ms=now_ms, wall_ms=wall_ms, on_progress=on_progress)
                whole = _together(whole, run.run(choice))
    except (BackupError, DatabaseAwayError, TradeStoreError, PyMongoError) as error:
        raise LakeError(database_reason(error)) from error
    return whole


def _together(one: LakeReport, other: LakeReport) -> LakeReport:
    return structs.replace(
        one,
        outcomes=one.outcomes + other.outcomes,
        rows=one.rows + other.rows,
        faults=one.faults + other.faults,
        changed=one.changed + other.changed,
    )


def text_of(report: LakeReport) -> str:
    """A report in one line."""
    counts = report.outcomes
    written, again = counts["written"], counts["rewritten"]
    same = counts["unchanged"] + counts["proven"]
    parts = [f"{counted(written, 'day')} written", f"{again:,} again as they have changed" if again else ""]
    parts += [f"{same:,} compared and unchanged" if same else ""]
    parts += [f"{counts['kept']:,} of which the stores have less" if counts["kept"] else ""]
    parts += [f"{counts['adopted']:,} taken without a manifest" if counts["adopted"] else ""]
    return f"{', '.join(filter(None, parts))}; {counted(report.rows, 'row')}"
