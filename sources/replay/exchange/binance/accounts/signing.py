"""Who sent a request: keys, signatures and the time of a request, over REST. Pure. Source: `rest-api`, SIGNED."""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl

from sources.replay.accounts.keys import ApiKey, KeyRing, is_key
from sources.replay.exchange.binance.parameters import ApiError, Parameters, illegal

RECV_WINDOW_MS = 5_000
"""How old a request may be where it does not say it."""
MOST_WINDOW_MS = 60_000
_AHEAD_MS = 1_000
_WINDOW = re.compile(r"\d{1,5}(\.\d{1,3})?")
_OF_SIGNING = frozenset(("signature", "timestamp", "recvWindow"))


class Sent(NamedTuple):
    """A request as it was sent."""

    query: str
    """The query string, not decoded."""
    body: bytes
    key: str | None
    """The header `X-MBX-APIKEY`."""

    def pairs(self) -> list[tuple[str, str]]:
        """Its parameters; of one that is in query and body, the query's. -1101 for one that is there twice."""
        query = parse_qsl(self.query, keep_blank_values=True)
        body = parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        for some in (query, body):
            if len(dict(some)) != len(some):
                raise ApiError(-1101, "Duplicate values for a parameter detected.")
        return list((dict(body) | dict(query)).items())


def caller(sent: Sent, ring: KeyRing) -> ApiKey:
    """The key of a request; -2014 for a text that is none, -2015 for one that the exchange does not know."""
    if not is_key(sent.key):
        raise ApiError(-2014, "API-key format invalid.", status=401)
    return known_key(sent.key or "", ring)


def known_key(name: str, ring: KeyRing) -> ApiKey:
    """The key of a name; -2015 where there is none."""
    key = ring.get(name)
    if key is None:
        raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)
    return key


def signed_by(sent: Sent, ring: KeyRing, now_ms: int) -> ApiKey:
    """The key that a request is signed with; `ApiError` where key, time or signature are refused."""
    key = caller(sent, ring)
    parameters = Parameters(dict(sent.pairs()))
    check_time(parameters, now_ms)
    check_signature(key, payload_of(sent), parameters)
    return key


def check_signature(key: ApiKey, payload: bytes, parameters: Parameters) -> None:
    """-1022 for a signature that is none of the payload."""
    if not key.accepts(payload, parameters.required("signature")):
        raise ApiError(-1022, "Signature for this request is not valid.")


def check_time(parameters: Parameters, now_ms: int) -> None:
    """-1021 for a request that is older than its `recvWindow`, or a second ahead."""
    parameters.required("timestamp")
    sent_ms = parameters.time_ms("timestamp") or 0
    window = parameters.text("recvWindow")
    if window is not None and not _WINDOW.fullmatch(window):
        raise illegal("recvWindow", "^[0-9]{1,5}(\\.[0-9]{1,3})?$")
    window_ms = RECV_WINDOW_MS if window is None else float(window)
    if window_ms > MOST_WINDOW_MS:
        raise ApiError(-1131, f"recvWindow must be less than {MOST_WINDOW_MS}")
    if sent_ms >= now_ms + _AHEAD_MS:
        raise ApiError(-1021, f"Timestamp for this request was {_AHEAD_MS}ms ahead of the server's time.")
    if now_ms - sent_ms > window_ms:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def payload_of(sent: Sent) -> bytes:
    """What a signature is made of: query and body as they were sent, without the signature."""
    return _unsigned(sent.query.encode("utf-8", "surrogateescape")) + _unsigned(sent.body)


def _unsigned(text: bytes) -> bytes:
    return b"&".join(part for part in text.split(b"&") if not part.startswith(b"signature="))


def without_signing(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The parameters that an endpoint reads."""
    return {name: value for name, value in pairs if name not in _OF_SIGNING}
