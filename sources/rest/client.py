"""The REST client of a venue, shared by all queries: rate limit, retries, circuit breaker.

A request waits for the rate limit. It is retried with growing, random delays when the venue or the network fails, and
fails at once while the circuit breaker is open.
"""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import httpx
import msgspec
import structlog
from msgspec import Struct
from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import OpenedState

from flows.backoff import backoff_s
from flows.foreign import quoted, visible
from flows.model.secret import Secret
from flows.process.proxy import is_loopback, trusted_by
from flows.queries import Urgency
from sources.rest.rate_limit import WINDOW_S, Permit, RateLimitedError, RateLimiter

BREAKER_FAILURES = 5
"""Failures in a row that open the circuit breaker."""
MOST_BYTES = 64 << 20
"""Longest answer that is read, bytes after decompression; the longest real one, the list of all instruments, is a
quarter of that.
"""
LONGEST_ANSWERS = 3
"""Longest time for a whole answer, in multiples of `timeout_s`, which limits the wait for each part."""
BREAKER_S = 10.0
"""How long the breaker stays open before the next request tests the venue."""
MOST_UNDER_WAY = 8
"""Requests that wait for their answer at the same time. Others queue by urgency, and not in the connection pool, which
knows no urgency and times out those that wait there.
"""
TOO_MANY = frozenset((429, 418))
"""Over the limit, and banned for continued requests."""
_SERVER_ERRORS = 500
_COMPRESSED: Final = "gzip"
_GZIP: Final = 16 + zlib.MAX_WBITS
"""What `zlib` calls it."""
_LONGEST_MESSAGE = 2_000
"""Longest error text, characters: an address with many symbols is long."""
_LONGEST_WAIT_S = 7 * 86_400
"""Longer than any ban; a larger `Retry-After` is an error of the venue."""
_MOST_DIGITS = 12
"""Most digits of a number in a header."""

_log = structlog.get_logger(__name__)


class VenueError(Exception):
    """The venue refused a request, or there was no answer."""

    def __init__(self, message: str, *, status: int = 0, code: int = 0, retry_after_s: float | None = None) -> None:
        """The venue's own text in `message` must be `quoted`."""
        super().__init__(visible(message, limit=_LONGEST_MESSAGE))
        self.status = status
        """HTTP status; 0 when there was no answer."""
        self.code = code
        """The venue's own error code; 0 when it gave none."""
        self.retry_after_s = retry_after_s
        """The venue's `Retry-After`; None without one."""

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status == 0 or self.status in TOO_MANY or self.status >= _SERVER_ERRORS


class ProxyError(ValueError):
    """The environment names a proxy that cannot be used; the text has the address and the reason."""


class CircuitOpenError(VenueError):
    """No request was sent: the venue is down or has banned us. An immediate retry is of no use."""


class _Request(Struct, frozen=True):
    """A request, with parameters or with a query that is sent as it is written."""

    method: str
    path: str
    params: Mapping[str, str | int] | None = None
    query: Secret | None = None
    """It is signed, and shown nowhere."""
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    base_url: str = ""
    """Empty: that of the client."""

    @property
    def target(self) -> str:
        """What is requested, with the base address where it is another one."""
        return self.base_url + (f"{self.path}?{self.query.reveal()}" if self.query else self.path)


_NO_HEADERS: Final[Mapping[str, str]] = {}
_NO_STREAM: Final = httpx.ByteStream(b"")


class RestSettings(Protocol):
    """The settings that a client needs; the section `rest` has and describes them."""

    weight_share: float
    timeout_s: float
    tries: int


class RestClient:
    """The client of one venue at one address; the caller closes it with `aclose`."""

    def __init__(
        self,
        base_url: str,
        *,
        settings: RestSettings,
        weight_per_minute: int,
        weight_header: str = "",
        window_s: float = WINDOW_S,
        refusal_in: Callable[[bytes], "VenueError | None"] | None = None,
        breaker_s: float = BREAKER_S,
    ) -> None:
        """The venue counts weight within any `window_s`, and answers no more than that share of `weight_per_minute`.
        `weight_header` is the header of answers with the venue's own weight count; `refusal_in` gives the error that
        the body of an answer with a good HTTP status names, for a venue that answers so; `breaker_s` is how long the
        breaker stays open. `ProxyError` when the environment names a proxy that cannot be used.
        """
        self.base_url = base_url.rstrip("/")
        self.rate_limit = RateLimiter(
            max(1, int(weight_per_minute * window_s / WINDOW_S * settings.weight_share)),
            most_under_way=MOST_UNDER_WAY,
            window_s=window_s,
        )
        self._window_s = window_s
        self._weight_header = weight_header
        self._refusal_in = refusal_in
        self._tries = settings.tries
        self._timeout_s = settings.timeout_s
        self._client = _open_client(self.base_url, settings.timeout_s)
        self._breakers = AsyncCircuitBreakerFactory(
            default_threshold=BREAKER_FAILURES, default_ttl=breaker_s, exclude=[(VenueError, _is_an_answer)]
        )
        self._breakers.add_listener(self._on_breaker)
        self._breaker_s = breaker_s
        self._is_down = False

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def get(self, path: str, *, weight: int = 1, urgency: Urgency = Urgency.AUDIT, **params: str | int) -> bytes:
        """The body of the answer; `VenueError` when there is none, or it is an error."""
        request = _Request("GET", path, params)
        failures = 0
        while True:
            try:
                return await self._send_once(request, weight, urgency)
            except VenueError as error:
                failures += 1
                if failures >= self._tries or not _is_worth_another_try(error):
                    raise
            await asyncio.sleep(backoff_s(failures))

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Secret | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes | None = None,
        base_url: str = "",
        weight: int = 1,
        urgency: Urgency = Urgency.AUDIT,
    ) -> bytes:
        """The body of the answer to a request that is sent once, since it has a time in it: its `query` is sent as it
        is written, and no error shows it. `base_url` is that of another interface of the venue under the same limit.
        `VenueError` as of `get`.
        """
        request = _Request(method, path, None, query, headers, body, base_url.rstrip("/"))
        return await self._send_once(request, weight, urgency)

    async def _send_once(self, request: _Request, weight: int, urgency: Urgency) -> bytes:
        try:
            async with (
                self.rate_limit.acquire(weight, urgency) as permit,
                await self._breakers.get_breaker(self.base_url),
            ):
                permit.is_sent = True
                return await self._answer(request, permit)
        except RateLimitedError as error:
            raise CircuitOpenError(f"{self.base_url}: {error}", retry_after_s=error.seconds) from error
        except OpenedState as error:
            # the library raises the same object each time; it would collect the tracebacks of all requests
            error.with_traceback(None)
            outage = f"failed {BREAKER_FAILURES} times in a row; no request is sent for {self._breaker_s:.0f} s"
            raise CircuitOpenError(f"{self.base_url} {outage}") from None

    async def _answer(self, request: _Request, permit: Permit) -> bytes:
        path = request.path
        try:
            async with asyncio.timeout(LONGEST_ANSWERS * self._timeout_s):
                response, body = await self._read(request)
        except TimeoutError as error:
            raise VenueError(f"{self.base_url}{path}: no whole answer in time") from error
        except httpx.HTTPError as error:
            raise VenueError(f"{self.base_url}{path}: {_failure_of(error)}") from error
        used = _whole_number(response.headers.get(self._weight_header, "")) if self._weight_header else None
        if used is not None:
            permit.server_used = used
        refusal = (
            None
            if response.is_success
            else _error_of(response, body, "" if request.query is None else f"{self.base_url}{path}")
        )
        if refusal is None and self._refusal_in is not None:
            refusal = self._refusal_in(body)
        if refusal is None:
            return body
        if refusal.status in TOO_MANY:
            wait_s = self._window_s if refusal.retry_after_s is None else refusal.retry_after_s
            self.rate_limit.ban(wait_s)
            _log.warning("rate_limited", address=self.base_url, status=refusal.status, seconds=wait_s, path=path)
        try:
            raise refusal
        finally:
            del refusal  # its traceback has this frame: neither would go before the garbage is collected

    async def _read(self, request: _Request) -> tuple[httpx.Response, bytes]:
        """An answer with its body; `VenueError` when that is longer than `MOST_BYTES`."""
        sent = self._client.stream(
            request.method, request.target, params=request.params, headers=request.headers, content=request.body
        )
        async with sent as response:
            body = await _body_of(response, f"{self.base_url}{request.path}")
        response.stream = _NO_STREAM  # the library's own one has the answer: a cycle that would stay
        return response, body

    def _on_breaker(self, address: str, kind: str, event: Any) -> None:
        """Logs the begin and the end of an outage, not the failed tests in between."""
        if kind == "state_changed" and event.state == "opened" and not self._is_down:
            self._is_down = True
            _log.warning("venue_down", address=address, failures=BREAKER_FAILURES)
        elif kind == "state_changed" and event.state == "closed" and self._is_down:
            self._is_down = False
            _log.info("venue_recovered", address=address)


def _open_client(base_url: str, timeout_s: float) -> httpx.AsyncClient:
    """Opens a client that uses the proxies of the environment, except to an address of this machine. `ProxyError` when
    one cannot be used.
    """
    try:
        return httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout_s,
            headers={"Accept-Encoding": _COMPRESSED},
            trust_env=not is_loopback(base_url),
            verify=trusted_by(base_url),
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise ProxyError(f"the proxy of the environment cannot be used for {base_url}: {error}") from error


async def _body_of(response: httpx.Response, address: str) -> bytes:
    """The body; `VenueError` for one that is longer than `MOST_BYTES` or compressed wrongly. The library would
    decompress each part as a whole, in every way that it knows and in several at once: 32 KB can become a gigabyte.
    """
    way = response.headers.get("Content-Encoding", "identity").strip().lower()
    if way not in ("identity", _COMPRESSED):
        raise VenueError(f"{address}: the answer is compressed in another way than asked for, {quoted(way)}")
    inflater = zlib.decompressobj(_GZIP) if way == _COMPRESSED else None
    body, size = bytearray(), 0
    async for part in response.aiter_raw():
        size += len(part)
        try:
            body += part if inflater is None else inflater.decompress(part, MOST_BYTES + 1 - len(body))
        except zlib.error as error:
            raise VenueError(f"{address}: the answer is compressed wrongly: {error}") from error
        if len(body) > MOST_BYTES:
            raise VenueError(f"{address}: the answer is longer than {MOST_BYTES} bytes", status=200)
    if inflater is not None and size and not inflater.eof:
        raise VenueError(f"{address}: the answer ends before what is compressed in it")
    return bytes(body)


def _is_worth_another_try(error: VenueError) -> bool:
    return error.is_passing and not isinstance(error, CircuitOpenError)


def _is_an_answer(error: BaseException) -> bool:
    """Whether an error is an answer of the venue: one that refuses is not down."""
    return isinstance(error, VenueError) and 0 < error.status < _SERVER_ERRORS


def _failure_of(error: httpx.HTTPError) -> str:
    """Why there is no answer. The client's message for an unreadable one may repeat parts of it, so it is quoted."""
    text = str(error) or type(error).__name__
    is_foreign = isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError)
    return quoted(text, by="the HTTP client") if is_foreign else visible(text)


def _error_of(response: httpx.Response, body: bytes, shown: str) -> VenueError:
    """The error of an answer; `shown` is its address where the whole one is not to be shown."""
    code, text = _code_and_text(response, body)
    after_s = _whole_number(response.headers.get("Retry-After", ""))
    return VenueError(
        f"{shown or response.request.url}: {response.status_code}, {quoted(text)}",
        status=response.status_code,
        code=code,
        retry_after_s=None if after_s is None else float(min(after_s, _LONGEST_WAIT_S)),
    )


def _code_and_text(response: httpx.Response, body: bytes) -> tuple[int, str]:
    """The venue's code and text of an error, or else HTTP's text for the status."""
    try:
        error = msgspec.json.decode(body)
        if "message" in error:
            return 0, str(error["message"])
        return int(error["code"]), str(error["msg"])
    except (msgspec.MsgspecError, UnicodeError, RecursionError, KeyError, TypeError, ValueError, OverflowError):
        return 0, response.reason_phrase


def _whole_number(header: str) -> int | None:
    """Parses a header of ASCII digits; None for anything else."""
    return int(header) if header.isascii() and header.isdigit() and len(header) <= _MOST_DIGITS else None
