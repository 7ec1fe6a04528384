"""One file over HTTP, however often its connection breaks: what has come is kept, and only the rest is asked for.

RFC 9110, 13.1.5 and 14.2: `Range` asks for the rest, and `If-Range` for all of it where the file is another one by now.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

import httpx
import structlog
from msgspec import Struct

from flows.process.proxy import is_loopback
from sources.archive.rows import ArchiveError

VERSION = ".etag"
"""Behind the name of a partial file: of which version of the file it is a part."""
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")
_IN_TIME = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""Refusals of a client that are none for ever."""

_log = structlog.get_logger(__name__)

OnBytes = Callable[[int, int], None]
"""Called with the bytes that are there and how many there will be (0: unknown)."""


class Patience(Struct, frozen=True):
    """How long a download is tried."""

    tries: int = 6
    """In a row that bring nothing new."""
    first_s: float = 1.0
    """Pause after the first of them; doubles with each."""
    most_s: float = 60.0
    """Longest pause. A server that wants a longer one is not asked again."""
    silence_s: float = 30.0
    """Longest time in which nothing comes."""

    def pause_s(self, failed: int, asked_s: float) -> float | None:
        """How long to wait after so many tries in a row have failed, and a server has asked for a pause; None: no more
        tries.
        """
        pause_s = max(asked_s, min(self.most_s, self.first_s * 2 ** (failed - 1)))
        return pause_s if failed < self.tries and pause_s <= self.most_s else None


class Reply(Struct, frozen=True):
    """What the head of an answer says of the bytes behind it."""

    begin: int
    """Place of the first of them."""
    total: int
    """Size of the whole file; 0: unknown."""
    version: str
    """What `If-Range` takes; empty where the server names none."""


def reply_of(response: httpx.Response) -> Reply:
    """Reads the head of an answer."""
    etag = response.headers.get("ETag", "")
    version = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    if response.status_code == HTTPStatus.OK:
        return Reply(0, int(response.headers.get("Content-Length", 0)), version)
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    begin, total = match.groups() if match else (None, "*")
    return Reply(-1 if begin is None else int(begin), 0 if total == "*" else int(total), version)


def can_get_better(error: httpx.HTTPError) -> bool:
    """Whether the same question may be answered later."""
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        return status in _IN_TIME or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)


def asked_pause_s(error: httpx.HTTPError, now: datetime) -> float:
    """The pause that a refusal asks for in its `Retry-After`, seconds or a date; 0 without one."""
    told = error.response.headers.get("Retry-After", "") if isinstance(error, httpx.HTTPStatusError) else ""
    if told.isascii() and told.isdigit():
        return float(told[:9])
    try:
        until = parsedate_to_datetime(told)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - now.timestamp())


def download(url: str, partial: Path, *, patience: Patience, on_bytes: OnBytes = lambda _, __: None) -> bool:
    """Brings a file into `partial`, and goes on with what is there of it; False when the server has no such file.
    `ArchiveError` when it cannot be had: what has come stays for the next time.
    """
    failed, furthest = 0, _size(partial)
    while True:
        try:
            return _Attempt(url, partial, patience.silence_s, on_bytes).run()
        except httpx.HTTPError as error:
            failed = 1 if _size(partial) > furthest else failed + 1
            furthest = max(furthest, _size(partial))
            asked_s = asked_pause_s(error, datetime.now(UTC))
            pause_s = patience.pause_s(failed, asked_s) if can_get_better(error) else None
            reason = _reason(error)
            if pause_s is None:
                later = f"; it wants no question for {asked_s:.0f} s" if asked_s else ""
                raise ArchiveError(f"{url} cannot be had: {reason}{later}") from error
        _log.warning("download broke off, trying again", url=url, reason=reason, bytes=_size(partial), in_s=pause_s)
        time.sleep(pause_s)


def discard(partial: Path) -> None:
    """Takes a partial file away, if there is one."""
    partial.unlink(missing_ok=True)
    _version_path(partial).unlink(missing_ok=True)


class _Attempt:
    """One question, and its answer as far as it comes. Whatever may be answered better later is an `HTTPError`."""

    def __init__(self, url: str, partial: Path, silence_s: float, on_bytes: OnBytes) -> None:
        self._url = url
        self._partial = partial
        self._silence_s = silence_s
        self._on_bytes = on_bytes
        self._have = _size(partial)
        path = _version_path(partial)
        self._version = path.read_text() if self._have and path.is_file() else ""

    def run(self) -> bool:
        """False when there is no such file."""
        with self._answer() as response:
            if response.status_code == HTTPStatus.NOT_FOUND:
                discard(self._partial)
                return False
            reply = reply_of(response)
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self._have == reply.total > 0:
                return True  # it was whole already
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not self._fits(response, reply):
                discard(self._partial)
                raise httpx.RemoteProtocolError("the file has changed meanwhile")
            response.raise_for_status()
            if response.status_code not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                raise httpx.RemoteProtocolError(f"an answer of status {response.status_code} holds no file")
            self._take(response, reply)
            return True

    @contextmanager
    def _answer(self) -> Iterator[httpx.Response]:
        headers = {"Accept-Encoding": "identity"}  # a range counts the bytes of what is sent
        if self._have:
            headers["Range"] = f"bytes={self._have}-"
            if self._version:
                headers["If-Range"] = self._version
        with httpx.stream(
            "GET",
            self._url,
            headers=headers,
            timeout=self._silence_s,
            follow_redirects=True,
            trust_env=not is_loopback(self._url),
        ) as response:
            yield response

    def _fits(self, response: httpx.Response, reply: Reply) -> bool:
        """Whether a part is the one that is missing, of the file of which the rest is there."""
        if response.status_code != HTTPStatus.PARTIAL_CONTENT:
            return True
        is_same = not self._version or not reply.version or reply.version == self._version
        return is_same and reply.begin == self._have

    def _take(self, response: httpx.Response, reply: Reply) -> None:
        with self._partial.open("ab" if reply.begin else "wb") as to:
            if not reply.begin:
                _version_path(self._partial).write_text(reply.version)
            for chunk in response.iter_raw():
                to.write(chunk)
                self._on_bytes(to.tell(), reply.total)
            to.flush()
            os.fsync(to.fileno())
            if reply.total and to.tell() != reply.total:
                raise httpx.RemoteProtocolError(f"{to.tell()} of {reply.total} bytes came")


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.response.status_code} {error.response.reason_phrase}"
    return str(error) or type(error).__name__


def _version_path(partial: Path) -> Path:
    return partial.with_name(partial.name + VERSION)


def _size(partial: Path) -> int:
    return partial.stat().st_size if partial.is_file() else 0
