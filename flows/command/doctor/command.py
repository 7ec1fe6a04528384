"""The command, and the order of its checks."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from flows.command.doctor.result import Result
from flows.command.examples import epilog
from flows.command.folder import Folder, folder_of
from flows.command.interface import Json
from flows.command.outcome import ExitCode
from flows.command.tables import print_json, print_table
from flows.supervision.spec import RECOVERY

if TYPE_CHECKING:
    from flows.command.doctor.machine import Port
    from flows.settings import Settings

MONGODB_PORT: Final = 27_017
"""Of an address without a port."""


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=epilog("doctor"))(doctor)


def doctor(
    context: typer.Context,
    *,
    folder: Folder = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the exchanges for their times.")] = False,
    as_json: Json = False,
) -> None:
    """Checks machine, installation, settings and stores, and says what to do. Exit code 1 when anything fails.

    It changes nothing, and may run beside a deployment.
    """
    results = list(checks(folder_of(context, folder), offline=offline))
    if as_json:
        print_json([result._asdict() for result in results])
    else:
        print_table(
            ("", "check", "found", "what to do"),
            [(each.state, each.check, each.found, each.remedy) for each in results],
        )
    if any(result.state == "fail" for result in results):
        raise typer.Exit(ExitCode.FAILED)


def checks(folder: Path, *, offline: bool) -> Iterator[Result]:
    """All results. With wrong settings, only of what depends on none."""
    from flows.command.doctor import machine, requirements
    from flows.settings import SettingsError, load_settings
    from flows.settings.places import written_folders

    python, packages = requirements.required()
    yield requirements.check_python(python)
    yield requirements.check_packages(packages)
    yield machine.check_descriptors()
    try:
        settings = _with_stores_in(folder, load_settings())
    except SettingsError as error:
        remedy = "correct them; marketflow config check looks again. What depends on them was not checked"
        yield Result("settings", "fail", " ".join(str(error).split()), remedy)
        return
    yield Result("settings", "ok", "they can be used")
    yield from machine.check_disk((folder, settings.trades.path, *written_folders(settings).values()))
    yield from machine.check_ports(ports_of(settings))
    yield from _of_peers_and_stores(settings, folder, offline=offline)


def _with_stores_in(folder: Path, settings: "Settings") -> "Settings":
    """The settings of a deployment that is started with this folder."""
    from flows.supervision.deployment import trades_path

    trades = settings.trades.model_copy(update={"path": trades_path(settings, folder)})
    return settings.model_copy(update={"trades": trades})


def _of_peers_and_stores(settings: "Settings", folder: Path, *, offline: bool) -> Iterator[Result]:
    from flows.command.doctor import peers, stores

    if not offline:
        yield from peers.check_clocks(settings)
    yield from peers.check_mongo(settings)
    yield from stores.check_trades(settings)
    yield stores.check_recovery(folder / RECOVERY)


def ports_of(settings: "Settings") -> "Iterator[Port]":
    """The ports of this machine that a deployment with these settings listens on."""
    from pymongo.uri_parser import parse_uri

    from flows.command.doctor.machine import Port
    from flows.settings.ports import listeners
    from flows.settings.values import is_loopback

    yield from (Port(one.key, one.port) for one in listeners(settings))
    if settings.mongo.enabled and settings.mongo.uri.startswith("mongodb://"):
        for host, port in parse_uri(settings.mongo.uri)["nodelist"]:
            if is_loopback(host):
                yield Port("mongo.uri", port or MONGODB_PORT)
