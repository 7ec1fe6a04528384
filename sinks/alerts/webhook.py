"""Alerts as signed requests, in the form of Standard Webhooks (standardwebhooks.com, version 1).

    POST <url>
    webhook-id: <id of the alert, the same at every attempt>
    webhook-timestamp: <seconds since the epoch, of this attempt>
    webhook-signature: v1,<base64 of HMAC-SHA256 of "<id>.<timestamp>.<body>">

    {"type": "alert", "timestamp": …, "text": …, "data": {…}}

The key is what is behind `whsec_` in the secret, from base64.
"""

import asyncio
import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec
from msgspec import Struct

from flows.loop_thread import EventLoopThread
from flows.model.alerts import Alert
from flows.model.secret import Secret, webhook_key
from flows.process.proxy import is_loopback, trusted_by
from sinks.hub.payloads import AlertBody
from sinks.hub.payloads.form import iso_utc_or_none

OF_CONTENT: Final = frozenset({400, 413, 415, 422})
"""Answers by which a receiver may refuse one alert and take the next one."""
_AGENT: Final = "marketflow"


class Refusal(Struct, frozen=True):
    """Why an attempt failed."""

    cause: str
    of_content: bool = False
    """Whether it may be this alert alone that the receiver does not take."""


class Event(Struct, frozen=True):
    """The body of a request."""

    type: str
    timestamp: str | None
    text: str
    data: AlertBody


def body_of(alert: Alert) -> bytes:
    """The body, the same at every attempt."""
    data = AlertBody.of(alert)
    return msgspec.json.encode(Event("alert", iso_utc_or_none(alert.time), data.text, data))


def signature_of(key: bytes, id_: str, timestamp: int, body: bytes) -> str:
    """The signature of a request."""
    signed = b"%s.%d.%s" % (id_.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class Webhook:
    """Sends alerts to one address. It may contain a secret: reasons name nothing of it but its host."""

    def __init__(self, url: str, secret: Secret) -> None:
        self._url = url
        self._secret = secret
        self.host = urlsplit(url).hostname or ""
        self._network = EventLoopThread("webhook")
        self._client = httpx.AsyncClient(
            headers={"User-Agent": _AGENT, "Content-Type": "application/json"},
            follow_redirects=False,
            verify=trusted_by(url),
            trust_env=not is_loopback(url),
        )

    def send(self, alert: Alert, *, wall_s: int, timeout_s: float) -> Refusal | None:
        """One attempt, of `timeout_s` at most however slowly bytes come; None when the receiver has taken it."""
        body = body_of(alert)
        headers = {
            "webhook-id": alert.id,
            "webhook-timestamp": str(wall_s),
            "webhook-signature": signature_of(webhook_key(self._secret), alert.id, wall_s, body),
        }
        try:
            return self._network.start(self._post(body, headers, timeout_s)).result()
        except TimeoutError:
            return Refusal(f"{self.host} did not answer in time")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Refusal(f"{self.host} cannot be reached: {type(error).__name__}")

    async def _post(self, body: bytes, headers: dict[str, str], timeout_s: float) -> Refusal | None:
        async with (
            asyncio.timeout(timeout_s),
            self._client.stream("POST", self._url, content=body, headers=headers, timeout=None) as response,
        ):
            if response.is_success:
                return None
            status = response.status_code
            return Refusal(f"{self.host} answered {status}", of_content=status in OF_CONTENT)

    def close(self) -> None:
        """Closes the connection."""
        self._network.start(self._client.aclose()).result()
        self._network.close()
