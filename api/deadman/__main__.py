"""`python -m api.deadman`: raises an alarm when the alert that always fires does not come any more.

It belongs on another machine than Prometheus and Alertmanager, which it watches.
"""

import argparse
import asyncio
import re
import signal
from typing import Final

import structlog
from aiohttp import web

from api.deadman.alarm import Alarm, by_command, by_request
from api.deadman.receiver import Receiver
from flows.process.exit_codes import refuse_to_run
from flows.process.logs import set_up_logs
from flows.settings import Log

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600}
_DURATION: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smh]?)")
_ADDRESS: Final = re.compile(r"\[?([0-9A-Za-z.:-]+?)\]?:(\d{1,5})")
_PORTS: Final = 65_535

_log = structlog.get_logger("api.deadman")


def seconds_of(text: str) -> float:
    """A duration such as `90s`, `5m` or `90`, s. `ArgumentTypeError` for anything else, and for 0."""
    match = _DURATION.fullmatch(text)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90s or 5m")
    return seconds


def address_of(text: str) -> tuple[str, int]:
    """Host and port. `ArgumentTypeError` for anything else."""
    match = _ADDRESS.fullmatch(text)
    if not match or int(match[2]) > _PORTS:
        raise argparse.ArgumentTypeError(f"{text!r} is no address: write 127.0.0.1:9095")
    return match[1], int(match[2])


async def serve(host: str, port: int, *, after_s: float, repeat_s: float, alarms: list[Alarm]) -> None:
    """Serves until SIGINT or SIGTERM. `OSError` when the port cannot be opened."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    receiver = Receiver(after_s=after_s, repeat_s=repeat_s, alarms=alarms)
    runner = web.AppRunner(receiver.build_app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        _log.info("watching", address=f"{host}:{runner.addresses[0][1]}", after_s=after_s)
        watch = asyncio.create_task(receiver.watch())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([watch, stopped], return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        stopped.cancel()
    finally:
        await runner.cleanup()


def main() -> None:
    """Reads the arguments and serves."""
    parser = argparse.ArgumentParser(
        prog="python -m api.deadman",
        description="Raises an alarm when Alertmanager's Watchdog does not come any more, until SIGINT or SIGTERM.",
        epilog="Alertmanager sends the alert to http://HOST:PORT/watchdog; /health is 503 while an alarm stands.",
    )
    parser.add_argument("--listen", type=address_of, default=("127.0.0.1", 9095), metavar="HOST:PORT")
    parser.add_argument("--after", type=seconds_of, default=90.0, metavar="90s", help="silence that is an alarm")
    parser.add_argument("--repeat", type=seconds_of, default=3_600.0, metavar="1h", help="time between repetitions")
    parser.add_argument(
        "--exec", dest="command", metavar="COMMAND", help="runs it, with DEADMAN_TEXT in its environment"
    )
    parser.add_argument("--url", help="sends the alarm there as JSON by POST")
    arguments = parser.parse_args()
    alarms = [by_command(arguments.command)] if arguments.command else []
    alarms += [by_request(arguments.url)] if arguments.url else []
    if not alarms:
        parser.error("name --exec or --url, or both: an alarm must reach someone")
    set_up_logs(Log())
    host, port = arguments.listen
    try:
        asyncio.run(serve(host, port, after_s=arguments.after, repeat_s=arguments.repeat, alarms=alarms))
    except OSError as error:
        refuse_to_run(f"cannot listen on {host}:{port} (--listen): {error.strerror or error}")


if __name__ == "__main__":
    main()
