"""One host: servers of NATS and MongoDB, a flow that shares shards, an interface; each may be killed alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from flows.process import child
from sinks.mongod.bundled import bundled_binary, lent_library
from tests.fakes.deployment import environment_of
from tests.fakes.nats import BINARY
from tests.fakes.replica_set import ELECTION_MS, NAME
from tests.hosts.network import Namespace

NATS: Final = 4222
MONGO: Final = 27017
API: Final = 8080
MONITOR: Final = 8222
TOKEN: Final = "token-of-the-hosts"


class Host:
    """The processes of one namespace."""

    def __init__(
        self, net: Namespace, folder: Path, *, peers: Sequence[Namespace], settings: Mapping[str, Any]
    ) -> None:
        self.net = net
        self.folder = folder
        self._peers = [one.inside for one in peers]
        self._settings = settings
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def name(self) -> str:
        """Its name, and that of its flow."""
        return self.net.name

    @property
    def url(self) -> str:
        """Of its interface."""
        return f"http://{self.net.inside}:{API}"

    @property
    def nats(self) -> str:
        """Of its server."""
        return f"nats://{self.net.inside}:{NATS}"

    def start(self, *names: str) -> None:
        """Starts what does not run of these; all, without names."""
        for name in names or ("nats", "mongo", "flow", "api"):
            running = self.running.get(name)
            if running is None or running.poll() is not None:
                self._start(name)

    def _start(self, name: str) -> None:
        argv = {"nats": self._nats, "mongo": self._mongo, "flow": self._flow, "api": self._api}[name]()
        env = {**os.environ, **environment_of(self.of_flow())} if name in ("flow", "api") else dict(os.environ)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self.net.command(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=self.folder
            )

    def _nats(self) -> list[str]:
        file, own = self.folder / "nats.conf", self.net.inside
        routes = ", ".join(f'"nats://{peer}:6222"' for peer in self._peers)
        file.write_text(
            f'server_name: {self.name}\nlisten: "{own}:{NATS}"\nhttp: "{own}:{MONITOR}"\n'
            f'jetstream {{ store_dir: "{self.folder / "nats"}", max_file_store: 4GB, max_memory_store: 64MB }}\n'
            f'cluster {{ name: c, listen: "{own}:6222", routes: [{routes}], ping_interval: "1s", ping_max: 3 }}\n'
        )
        return [str(BINARY), "-c", str(file)]

    def _mongo(self) -> list[str]:
        folder = self.folder / "mongo"
        folder.mkdir(exist_ok=True)
        lent = lent_library()
        program = [
            str(bundled_binary()), "--dbpath", str(folder), "--bind_ip", f"127.0.0.1,{self.net.inside}",
            "--port", str(MONGO), "--replSet", NAME, "--nounixsocket", "--quiet",
            "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "100",
        ]  # fmt: skip
        lend = (lent.library, str(lent.file), str(folder / "libraries")) if lent else None
        return child.command(signal.SIGKILL, program, lend=lend)

    def _flow(self) -> list[str]:
        return [sys.executable, "-m", "flows.shards", str(self.folder)]

    def _api(self) -> list[str]:
        return [sys.executable, "-m", "api"]

    def of_flow(self) -> dict[str, Any]:
        """The settings of its flow and its interface."""
        return {
            **self._settings,
            "trades__path": str(self.folder / "trades"),
            "bus__flow": self.name,
            "bus__api_url": self.url,
            "api__host": self.net.inside,
            "api__port": API,
            "api__token": TOKEN,
            "hub__token": TOKEN,
        }

    def kill(self, *names: str) -> None:
        """Ends these by SIGKILL; without names everything that runs there, as the power does."""
        if not names:
            for pid in self.net.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for name in names or tuple(self.running):
            process = self.running.pop(name, None)
            if process:
                process.kill()
                process.wait()

    def said(self, name: str, most: int = 3_000) -> str:
        """The end of a log."""
        with suppress(OSError):
            return (self.folder / f"{name}.log").read_text()[-most:]
        return ""


def replica_set_of(hosts: list[Host]) -> dict[str, Any]:
    """What begins the replica set."""
    return {
        "_id": NAME,
        "members": [{"_id": number, "host": f"{one.net.inside}:{MONGO}"} for number, one in enumerate(hosts)],
        "settings": {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": 500},
    }


def mongo_uri(nets: Sequence[Namespace]) -> str:
    """Of all members."""
    return f"mongodb://{','.join(f'{one.inside}:{MONGO}' for one in nets)}/?replicaSet={NAME}"
