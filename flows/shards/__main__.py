"""A flow that shares shards with others: `python -m flows.shards FOLDER`."""

import argparse
import asyncio
from pathlib import Path

from flows.process.exit_codes import refuse_to_run
from flows.process.logs import set_up_logs
from flows.process.stop_signals import on_stop_signals
from flows.settings import SettingsError, load_settings
from flows.settings.extras import needs_extra
from flows.supervision.spec import LIVE_FOLDER


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m flows.shards", description="runs the shards that it takes")
    parser.add_argument("folder", type=Path, nargs="?", default=LIVE_FOLDER, help="where the state of shards is")
    folder = parser.parse_args().folder
    try:
        settings = load_settings()
        with needs_extra("bus", "feed.shard"):
            from flows.shards.flow import SharingFlow  # noqa: PLC0415
            from sinks.bus.client import check_credentials  # noqa: PLC0415
            from sinks.bus.stored import BusError  # noqa: PLC0415
        try:
            check_credentials(settings.bus)
        except BusError as error:
            raise SettingsError(str(error)) from error
    except (SettingsError, ValueError) as error:
        refuse_to_run(error)
    if not settings.shares_shards:
        refuse_to_run('feed.shard: write "auto" to share shards with other flows')
    set_up_logs(settings.log, name="shards")

    async def run() -> None:
        flow = SharingFlow(settings, folder)
        on_stop_signals(flow.stop)
        await flow.run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
