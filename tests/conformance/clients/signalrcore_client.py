"""signalrcore against the SignalR hub: python signalrcore_client.py URL TOKEN; one line of JSON for each step.

Its long polling is left out, as it sends no token when it polls, and so is its `stop`, which waits for a message.
"""

import json
import logging
import sys
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from signalrcore.hub_connection_builder import HubConnectionBuilder
from signalrcore.types import HttpTransportType, HubProtocolEncoding

WAYS = {
    "json": (HttpTransportType.web_sockets, HubProtocolEncoding.text),
    "messagepack": (HttpTransportType.web_sockets, HubProtocolEncoding.binary),
    "events": (HttpTransportType.server_sent_events, HubProtocolEncoding.text),
}


def first_item(connection: Any) -> float:
    """Of a stream; again if it came between `stream`, which asks for it, and `subscribe`, which takes it."""
    items: SimpleQueue[Any] = SimpleQueue()
    while True:
        callbacks = {"next": items.put, "complete": items.put, "error": items.put}
        connection.stream("StreamPrices", [["ETHUSDT"]]).subscribe(callbacks)
        with suppress(Empty):
            price: float = items.get(timeout=1)["price"]
            return price


def run(url: str, token: str, name: str, last: float) -> None:
    def say(**step: Any) -> None:
        sys.stdout.write(json.dumps({"name": name, **step}) + "\n")
        sys.stdout.flush()

    transport, encoding = WAYS[name]
    connection = (
        HubConnectionBuilder()
        .with_url(url, options={"access_token_factory": lambda: token, "transport": transport})
        .configure_logging(logging.ERROR)
        .with_hub_protocol(encoding)
        .build()
    )
    is_open: SimpleQueue[None] = SimpleQueue()
    pushed: SimpleQueue[float] = SimpleQueue()
    answers: SimpleQueue[Any] = SimpleQueue()

    def show(arguments: list[dict[str, Any]]) -> None:
        say(push=[arguments[0]["symbol"], arguments[0]["price"]])
        pushed.put(arguments[0]["price"])

    connection.on_open(lambda: is_open.put(None))
    connection.on_error(answers.put)  # where the answer of a call that fails comes
    connection.on("PriceUpdate", show)
    connection.start()
    is_open.get()
    connection.send("GetPrices", [["BTCUSDT"]], on_invocation=answers.put)
    say(prices=[price["symbol"] for price in answers.get().result])
    connection.send("GetCandles", ["NOSUCH", "1m"], on_invocation=answers.put)
    say(refused=answers.get().error)
    say(item=first_item(connection))
    connection.send("Subscribe", [["MarketData"], ["btc/usdt"], None, None], on_invocation=answers.put)
    say(channels=answers.get().result["channels"])
    while pushed.get() != last:
        pass
    connection.unsubscribe("PriceUpdate", show)
    say(is_done=True)


for number, way in enumerate(WAYS):
    run(sys.argv[1], sys.argv[2], way, 777.0 + number)
