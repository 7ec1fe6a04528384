"""Alerts on disk: what has fired, and what of it waits for its receiver. One SQLite file, of one process at a time.

What stands here has fired: it is written before anything of it leaves the process, but for the broadcast. After the end
of the process, whatever it was, what waits is delivered by the next one, and no arming fires a second time.
"""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from flows.clock import wall_ms
from flows.model.alerts import Alert, LastAlert

FILE: Final = "outbox.sqlite"
VERSION: Final = 1
KEPT: Final = 1_000
"""Newest alerts that are kept although they are delivered, besides the newest one of each rule and instrument."""
LOCK_S: Final = 5.0
"""Longest wait for a process that ends and has the file still."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS alerts (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, rule TEXT NOT NULL, venue TEXT NOT NULL,
    symbol TEXT NOT NULL, added_ms INTEGER NOT NULL, waits INTEGER NOT NULL, record TEXT NOT NULL
) STRICT
"""
_WAITING: Final = "CREATE INDEX IF NOT EXISTS waiting ON alerts (place) WHERE waits"
_NEWEST: Final = "SELECT max(place) FROM alerts GROUP BY rule, venue, symbol"
_FILES: Final = ("", "-wal", "-shm")
"""Endings of the files that SQLite has for one database."""
_log = structlog.get_logger(__name__)


class OutboxError(Exception):
    """The outbox cannot be used; the text names the file, and what to do."""


class Outbox:
    """Every method may be called from any thread, and raises `sqlite3.Error` when the disk takes nothing."""

    def __init__(self, folder: Path, *, kept: int = KEPT, lock_s: float = LOCK_S) -> None:
        """Opens or makes the file. One that is damaged is moved away with an ERROR: the market is recorded without it,
        and what has fired is in the recovered state too. `OutboxError` when another process has it, or it is none.
        """
        self._kept = kept
        self._added = kept
        """How many were added since old ones were last deleted; at the start that is not known."""
        self._path = folder / FILE
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = self._connected(lock_s)
        except (OSError, sqlite3.Error, OutboxError) as error:
            if not _is_damage(error):
                raise self._refusal(error) from error
            self._move_away(str(error))
            self._database = self._connected(lock_s)

    def _connected(self, lock_s: float) -> sqlite3.Connection:
        """The file, checked and open."""
        self._database = sqlite3.connect(self._path, timeout=lock_s, isolation_level=None, check_same_thread=False)
        try:
            self._open()
        except BaseException:
            self._database.close()
            raise
        return self._database

    def _refusal(self, error: Exception) -> "OutboxError":
        hint = ": another process uses it" if "locked" in str(error) else ""
        return OutboxError(f"the outbox of alerts {self._path} cannot be opened (alerts.path): {error}{hint}")

    def _move_away(self, reason: str) -> None:
        """What waited in it is not delivered."""
        aside = f"{self._path}.damaged-{wall_ms()}"
        for ending in _FILES:
            with suppress(FileNotFoundError):
                Path(f"{self._path}{ending}").rename(f"{aside}{ending}")
        _log.error("outbox_damaged", reason=reason, moved_to=aside)

    def _open(self) -> None:
        run = self._database.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        [verdict] = run("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise OutboxError(f"it is damaged, {verdict}")
        run("BEGIN IMMEDIATE")
        [found] = run("PRAGMA user_version").fetchone()
        if found not in (0, VERSION):
            text = f"it has version {found}, and this program reads {VERSION}"
            raise OutboxError(f"{text}: move it away, or use the program that wrote it")
        run(_TABLE)
        run(_WAITING)
        run(f"PRAGMA user_version = {VERSION}")
        run("COMMIT")

    def add(self, alerts: Sequence[Alert], *, now_ms: int, waits: bool) -> None:
        """Writes alerts; those that are there already stay as they are. `waits`: they are to be delivered."""
        rows = [
            (one.id, one.rule.id, one.venue, one.symbol, now_ms, waits, msgspec.json.encode(one).decode())
            for one in alerts
        ]
        with self._lock, self._database:
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT OR IGNORE INTO alerts (id, rule, venue, symbol, added_ms, waits, record)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        self._added += len(rows)

    def next_waiting(self) -> Alert | None:
        """The oldest alert that waits. One that cannot be read is given up with an ERROR."""
        while True:
            found = self._all("SELECT id, record FROM alerts WHERE waits ORDER BY place LIMIT 1")
            if not found:
                return None
            id_, record = found[0]
            if alert := _alert_of(record):
                return alert
            self.settle(id_)

    def settle(self, alert_id: str) -> None:
        """An alert is delivered, or given up."""
        self._run("UPDATE alerts SET waits = 0 WHERE id = ?", alert_id)

    def give_up(self, *, before_ms: int, most: int) -> int:
        """Gives up what was added before, and of what waits all but the newest `most`; their number."""
        old = self._run("UPDATE alerts SET waits = 0 WHERE waits AND added_ms < ?", before_ms)
        if self.waiting <= most:
            return old
        newest = "SELECT place FROM alerts WHERE waits ORDER BY place DESC LIMIT ?"
        return old + self._run(f"UPDATE alerts SET waits = 0 WHERE waits AND place NOT IN ({newest})", most)  # noqa: S608

    def trim(self) -> None:
        """Deletes old ones that are delivered, when a tenth of those that are kept has come: it looks at all."""
        if self._added < self._kept // 10:
            return
        self._added = 0
        newest = "SELECT place FROM alerts ORDER BY place DESC LIMIT ?"
        self._run(
            f"DELETE FROM alerts WHERE NOT waits AND place NOT IN ({newest}) AND place NOT IN ({_NEWEST})",  # noqa: S608
            self._kept,
        )

    @property
    def waiting(self) -> int:
        """Number of alerts that wait."""
        [(found,)] = self._all("SELECT count(*) FROM alerts WHERE waits")
        return int(found)

    def newest(self) -> dict[tuple[str, str, str], LastAlert]:
        """The newest alert by rule, venue and symbol."""
        rows = self._all(f"SELECT record FROM alerts WHERE place IN ({_NEWEST})")  # noqa: S608
        alerts = [alert for (record,) in rows if (alert := _alert_of(record))]
        return {
            (one.rule.id, one.venue, one.symbol): LastAlert(one.rule, one.since, one.number, one.time) for one in alerts
        }

    def recent(self, *, since_ms: int = 0) -> list[Alert]:
        """The newest alerts that were added since then, delivered or not, oldest first."""
        rows = self._all(
            "SELECT record FROM alerts WHERE added_ms >= ? ORDER BY place DESC LIMIT ?", since_ms, self._kept
        )
        return [alert for (record,) in reversed(rows) if (alert := _alert_of(record))]

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(sql, values).fetchall()

    def _run(self, sql: str, *values: Any) -> int:
        with self._lock:
            return self._database.execute(sql, values).rowcount


def _is_damage(error: Exception) -> bool:
    """Whether the file is not what was written."""
    return any(word in str(error) for word in ("damaged", "malformed", "not a database"))


def _alert_of(record: str) -> Alert | None:
    try:
        return msgspec.json.decode(record, type=Alert)
    except msgspec.DecodeError as error:
        _log.error("alert_unreadable", reason=str(error))
        return None
