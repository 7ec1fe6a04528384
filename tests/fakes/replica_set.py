"""Three of the bundled servers as one replica set, on loopback, each with a folder of its own."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from flows.process import child
from sinks.mongod.bundled import bundled_binary, lent_library
from tests.fakes.deployment import free_port

NAME: Final = "twin"
WAIT_S: Final = 120.0
ELECTION_MS: Final = 2_000


class Member:
    """One server."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts it, with what it has stored."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lent = lent_library()
        lend = (lent.library, str(lent.file), str(self._folder / "libraries")) if lent else None
        program = [
            str(bundled_binary()), "--dbpath", str(self._folder), "--bind_ip", "127.0.0.1", "--port", str(self.port),
            "--replSet", NAME, "--nounixsocket", "--quiet", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "50",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
        ]  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                child.command(signal.SIGKILL, program, lend=lend), stdin=child.INPUT, stdout=log, stderr=log
            )
        return self

    def client(self) -> MongoClient[dict[str, Any]]:
        """A client of this server alone."""
        return MongoClient(self.address, directConnection=True, serverSelectionTimeoutMS=1_000)

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait(WAIT_S)

    def is_primary(self) -> bool:
        """Whether it says so."""
        with suppress(PyMongoError), self.client() as client:
            return bool(client.admin.command("hello").get("isWritablePrimary"))
        return False


class ReplicaSet:
    """The three servers."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members

    @property
    def uri(self) -> str:
        """Their address."""
        return f"mongodb://{','.join(one.address for one in self.members)}/?replicaSet={NAME}"

    def primary(self, *, other_than: Member | None = None) -> Member:
        """Waits for one."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            for one in self.members:
                if one is not other_than and one.is_primary():
                    return one
            time.sleep(0.05)
        raise AssertionError("there is no primary")

    def until_same(self) -> None:
        """Waits until all of them are up and have everything."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            with suppress(PyMongoError), self.primary().client() as client:
                found = client.admin.command("replSetGetStatus")["members"]
                if {one["stateStr"] for one in found} == {"PRIMARY", "SECONDARY"}:
                    newest = found[0]["optime"]["ts"]
                    if all(one["optime"]["ts"] == newest for one in found):
                        return
            time.sleep(0.1)
        raise AssertionError("they do not become the same")


@contextmanager
def running_replica_set(folder: Path) -> Iterator[ReplicaSet]:
    """Three servers while entered, with a primary."""
    with ExitStack() as stack:
        members = [Member(folder / f"mongod{number}") for number in range(3)]
        for one in members:
            stack.callback(one.kill)
            one.start()
        config = {
            "_id": NAME,
            "members": [{"_id": number, "host": one.address} for number, one in enumerate(members)],
            "settings": {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": 500},
        }
        end = time.monotonic() + WAIT_S
        while True:
            try:
                with members[0].client() as client:
                    client.admin.command("replSetInitiate", config)
                break
            except PyMongoError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        found = ReplicaSet(members)
        found.primary()
        yield found
