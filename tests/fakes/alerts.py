"""An alert, and a receiver of webhooks on loopback that can refuse."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from flows.model.alerts import Alert, AlertRule, PricePoint, alert_id

BEGIN: Final = 1_767_225_600_000
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATIENCE_S: Final = 120
"""Longest wait for something that should take a moment: a bound for broken runs, not a measure."""


def alert(
    number: int = 1, rule: str = "high", symbol: str = "BTCUSDT", *, venue: str = "binance", price: float = 100.5
) -> Alert:
    """An alert of a rule about a price."""
    terms = AlertRule(rule, "price_above", venue, symbol, price=100.0, rearm="on_return")
    seen = PricePoint(price, 40 + number, BEGIN + number)
    id_ = alert_id(rule, venue, symbol, BEGIN, number)
    return Alert(id_, terms, venue, symbol, number, BEGIN, BEGIN + number, seen)


class Receiver:
    """Checks each request as docs/alerts.md has it, and takes it unless it is to refuse the next ones."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.refusals: list[int] = []
        """Status codes of the next answers."""
        self.attempts: list[str] = []
        """Ids of all requests with a right signature."""
        self.taken: list[dict[str, Any]] = []
        """Bodies of those that were answered with 204."""
        self.wrong: list[str] = []
        self._changed = threading.Condition()

    def take(self, headers: Any, body: bytes) -> int:
        id_, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        digest = hmac.new(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        with self._changed:
            if not hmac.compare_digest(f"v1,{base64.b64encode(digest).decode()}", headers["webhook-signature"]):
                self.wrong.append(id_)
                return 401
            self.attempts.append(id_)
            status = self.refusals.pop(0) if self.refusals else 204
            if status == 204:
                self.taken.append(json.loads(body))
            self._changed.notify_all()
            return status

    def wait(self, taken: int = 0, attempts: int = 0) -> None:
        """Until there were so many."""
        with self._changed:
            is_so = self._changed.wait_for(
                lambda: len(self.taken) >= taken and len(self.attempts) >= attempts, PATIENCE_S
            )
        assert is_so, (self.attempts, self.taken, self.wrong)

    async def waited(self, taken: int = 0, attempts: int = 0) -> None:
        """The same, while others of this loop go on."""
        await asyncio.to_thread(self.wait, taken, attempts)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(found.take(self.headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
