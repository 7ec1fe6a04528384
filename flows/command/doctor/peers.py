"""What is asked over the network: the exchange's clock, the database."""

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pymongo
from pymongo.errors import PyMongoError

from flows.clock import wall_ms
from flows.command.doctor.result import Result
from flows.foreign import visible
from flows.settings import Feed, Settings
from flows.texts import database_reason
from sinks.mongo.writer import MongoAddressError, open_client
from sinks.mongod.bundled import MongodError, bundled_binary
from sinks.mongod.log import ELSEWHERE, explain_failure
from sources.rest.client import VenueError
from sources.venues import VENUES

WAIT_S: Final = 5.0
"""Longest wait for one of them."""
MUCH_MS: Final = 1_000
"""A clock that is so far away makes ages wrong."""
TOO_MUCH_MS: Final = 30_000


def check_clocks(settings: Settings) -> Iterator[Result]:
    """The clock of this machine against that of each venue that is followed."""
    for feed in settings.by_venue.values():
        yield check_clock(settings, feed)


def check_clock(settings: Settings, feed: Feed) -> Result:
    """The clock of this machine against that of a venue, half of the request's time counted as its way back."""
    check = f"clock of {feed.venue}"
    tried_once = settings.rest.model_copy(update={"tries": 1, "timeout_s": min(settings.rest.timeout_s, WAIT_S)})

    async def ask() -> tuple[int, int, int]:
        async with VENUES[feed.venue].rest(feed, tried_once) as rest, asyncio.timeout(WAIT_S):
            before = wall_ms()
            return before, await rest.time(), wall_ms()

    try:
        before, venue_ms, after = asyncio.run(ask())
    except ValueError as error:
        return Result(check, "fail", str(error), "correct the setting")
    except (VenueError, TimeoutError) as error:
        reason = visible(str(error)) or "no answer in time"
        return Result(check, "warn", f"the exchange does not answer: {reason}", "check the network, or say --offline")
    if not feed.is_timely:
        return Result(check, "ok", f"the time of a {feed.origin} market is not ours")
    return clock_result(check, (before + after) // 2 - venue_ms)


def clock_result(check: str, ahead_ms: int) -> Result:
    """The result for a clock that is so far ahead of the exchange's, ms; negative when behind."""
    found = f"{abs(ahead_ms)} ms {'ahead of' if ahead_ms >= 0 else 'behind'} the exchange's"
    if abs(ahead_ms) >= MUCH_MS:
        state = "fail" if abs(ahead_ms) >= TOO_MUCH_MS else "warn"
        return Result(check, state, found, "set the clock: timedatectl set-ntp true")  # type: ignore[arg-type]
    return Result(check, "ok", found)


def check_mongo(settings: Settings) -> Iterator[Result]:
    """Whether the database answers; where it does not, and is to be the bundled one, whether that runs."""
    mongo = settings.mongo
    if not mongo.enabled:
        yield Result("database", "ok", "mongo.enabled is off")
        return
    try:
        with open_client(mongo) as client, pymongo.timeout(WAIT_S):
            version = client.admin.command("buildInfo")["version"]
    except MongoAddressError as error:
        yield Result("database", "fail", str(error), "correct mongo.uri")
        return
    except PyMongoError as error:
        reason = visible(database_reason(error))
        bundled = check_bundled()
        remedy = "marketflow run starts the bundled one; else start yours, or correct mongo.uri"
        yield Result("database", "warn" if bundled.state == "ok" else "fail", f"no answer: {reason}", remedy)
        yield bundled
        return
    yield Result("database", "ok", f"MongoDB {version} answers")


def check_bundled(binary: Path | None = None) -> Result:
    """Whether the bundled server can be run here; `binary` replaces it."""
    check = "bundled database"
    try:
        program = binary or bundled_binary()
        done = subprocess.run([program, "--version"], capture_output=True, timeout=WAIT_S * 2, check=False)  # noqa: S603 - our own program
    except MongodError as error:
        return Result(check, "warn", str(error), ELSEWHERE)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Result(check, "warn", f"it cannot be run: {error}", ELSEWHERE)
    if done.returncode:
        lines = (done.stderr or done.stdout).decode(errors="replace").splitlines()[-1:] or ["it cannot be run"]
        reason = explain_failure(done.returncode, lines, path=Path(tempfile.gettempdir()), port=0)
        return Result(check, "warn", reason, ELSEWHERE)
    return Result(check, "ok", done.stdout.decode(errors="replace").partition("\n")[0].strip())
