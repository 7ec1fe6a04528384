"""What many tests share: a real MongoDB server, started once; and how little the tests themselves cost."""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient
from pymongo.database import Database

from flows import loop_thread
from sinks.mongod.bundled import MongodError, bundled_binary
from sinks.mongod.server import running_mongod
from tests.fakes.examples import examples

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else every process that a test starts compiles all modules anew
sys.dont_write_bytecode = False
gc.disable()  # until everything is collected: what is imported stays

settings.register_profile(
    "marketflow", max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("marketflow")  # a busy machine is no failure: speed belongs to the benchmarks

loop_thread.CLOSE_S = 60.0  # a busy machine closes connections later; what is still open then fails another test

FAST = ("diagnosticDataCollectionEnabled=false", "ttlMonitorSleepSecs=1", "enableTestCommands=1")
"""Parameters of a server for tests: it looks for what has expired every second, and can be held at its fail points."""

THAW_EACH = 20
"""Files of tests after which the garbage collector looks at everything."""

_numbers = count(1)
_files = count(1)
_SERVER = pytest.StashKey[str]()
"""The address of the shared server, once it is started."""
_USERS = pytest.StashKey[set[Path]]()
"""The modules with tests that ask for it."""
_OWN_OF_MONGODB = ("admin", "config", "local")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole deployments first: they wait as much as they work, so they belong beside tests that only work, and none of
    them is begun last and waited for by itself. Those that ask for the MongoDB server are marked `database`.
    """
    users = config.stash[_USERS] = set[Path]()
    for item in items:
        if "mongod_uri" in getattr(item, "fixturenames", ()):
            item.add_marker("database")
            users.add(item.path)
    items.sort(key=lambda item: not item.nodeid.startswith("tests/e2e/"))


def pytest_collection_finish() -> None:
    """From here on the garbage collector looks only at what tests make: a look at all modules takes half a second."""
    gc.enable()
    _keep_what_stays()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Nor at what the tests of other files have left, such as recordings that were read once for all: behind thousands
    of tests each whole collection would take a third of a second, and some tests make several.
    """
    yield
    if nextitem is not None and nextitem.path != item.path:
        _keep_what_stays()


def _keep_what_stays() -> None:
    if next(_files) % THAW_EACH == 0:
        gc.unfreeze()  # what has become garbage since would stay for ever
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """What a test, or a command called in its process, puts into the environment concerns no later test: the processes
    that tests start take their settings from there.
    """
    before = os.environ.copy()
    yield
    now = os.environ.copy()
    if now == before:
        return
    for name in now.keys() | before.keys():
        if name.startswith("PYTEST_"):
            continue  # pytest keeps its own account
        if name in before:
            os.environ[name] = before[name]
        else:
            os.environ.pop(name, None)


@pytest.fixture(autouse=True, scope="module")
def own_databases(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drops what the tests of a module have left in the shared server: each second it looks through all databases for
    what has expired, which takes more of a processor the more there are.
    """
    yield
    stash = request.config.stash
    if _SERVER not in stash or request.path not in stash[_USERS]:
        return
    with MongoClient[dict[str, Any]](stash[_SERVER]) as client:
        for name in client.list_database_names():
            if name not in _OWN_OF_MONGODB:
                client.drop_database(name)


@pytest.fixture(scope="session")
def mongod_uri(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[str]:
    """The bundled server, with nothing in it."""
    try:
        bundled_binary()
    except MongodError as error:
        pytest.skip(str(error))
    path = tmp_path_factory.mktemp("mongod")
    with running_mongod(path, parameters=FAST) as uri:
        pytestconfig.stash[_SERVER] = uri
        yield uri
    shutil.rmtree(path)  # its journal alone takes 300 MB


@pytest.fixture
def mongo_client(mongod_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of that server."""
    with MongoClient[dict[str, Any]](mongod_uri, tz_aware=True) as client:
        yield client


@pytest.fixture
def mongo_database(mongo_client: MongoClient[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """A database that no other test has; it is dropped afterwards."""
    database = mongo_client[f"test_{next(_numbers)}"]
    yield database
    mongo_client.drop_database(database.name)
