"""`python -m flows.supervision demo|run`: runs a deployment until Ctrl-C.

The exit code is 128 and the number of the signal that ended it, 78 when a process cannot run as it is configured, and
1 when another instance works in the folder.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.process.exit_codes import refuse_to_run
from flows.settings import SettingsError, load_settings
from flows.supervision.deployment import demo_environment, demo_greeting, demo_processes, live_processes
from flows.supervision.spec import DEMO_FOLDER, DEMO_MONGO_PORT, LIVE_FOLDER
from flows.supervision.supervisor import supervise


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line; ends the process with status 2 and a reason when it is invalid."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.supervision",
        description="Runs a deployment until Ctrl-C; a process that ends is started again.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, folder, text in (
        ("run", LIVE_FOLDER, "the live exchange"),
        ("demo", DEMO_FOLDER, "a synthetic market, made anew each time"),
        ("env", DEMO_FOLDER, "prints the settings of the demo, as variables for other commands"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--folder", type=Path, default=folder, help="state and stores (default: %(default)s)")
        if name != "run":
            command.add_argument(
                "--mongo-port", type=int, default=DEMO_MONGO_PORT, help="of its database (default: %(default)s)"
            )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse_arguments(argv)
    try:
        if options.command == "run":
            return supervise(live_processes(options.folder), folder=options.folder)
        ports = {"mongo_port": options.mongo_port}
        if options.command == "env":
            variables = demo_environment(load_settings(), options.folder, **ports)
            sys.stdout.write("".join(f"{name}={value}\n" for name, value in variables.items()))
            return 0
        specs, greeting = demo_processes(options.folder, **ports), demo_greeting(options.folder, **ports)
        # every demo is a market of its own, in which the candles of another would be wrong
        return supervise(specs, folder=options.folder, anew=True, greeting=greeting)
    except SettingsError as error:
        refuse_to_run(error)


if __name__ == "__main__":
    sys.exit(main())
