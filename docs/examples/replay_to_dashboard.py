"""Plays a tape, or a synthetic market, into the dashboard, with stores that are gone afterwards. Ctrl-C ends it.

PYTHONPATH=. python docs/examples/replay_to_dashboard.py [data/tapes/binance-….tape.zst --speed 10]
"""

import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory

from flows.settings import load_settings
from sinks.mongod.server import running_mongod

ports = load_settings().replay.port, load_settings().api.port
feed = {"ORIGIN": "replay", "WS_URL": f"ws://127.0.0.1:{ports[0]}", "REST_URL": f"http://127.0.0.1:{ports[0]}"}
os.environ |= {f"MARKETFLOW_FEED__{key}": value for key, value in feed.items()}
with TemporaryDirectory() as folder, running_mongod(Path(folder, "mongo")) as mongo_uri, ExitStack() as parts:
    os.environ |= {"MARKETFLOW_MONGO__URI": mongo_uri, "MARKETFLOW_TRADES__PATH": f"{folder}/trades"}
    market = ["sources.replay", *(sys.argv[1:] or ["--synthetic"]), "--port", str(ports[0])]
    for command in (market, ["bytewax.run", "flows.main"], ["api"]):
        process = parts.enter_context(Popen([sys.executable, "-m", *command], process_group=0))
        parts.callback(process.terminate)
    print(f"the exchange: http://127.0.0.1:{ports[0]}/, the dashboard: http://127.0.0.1:{ports[1]}/", flush=True)
    with suppress(KeyboardInterrupt):
        process.wait()
