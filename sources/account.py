"""The interface between a venue and its accounts, of which only is read: who opens the private stream, what its frames
mean, and what the account has. `sources.account_stream` runs it: connections and reconnects are the same for all.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from flows.model.account import AccountReport, AccountSnapshot
from flows.model.account_bounds import fault_of_report
from flows.model.secret import Secret
from sources.feed import Headers

Right: TypeAlias = Literal["trade", "withdraw", "transfer"]
"""What a key may do besides reading."""
LONGEST_FRAME: Final = 4_000_000
"""Bytes of a frame of a private stream; a longer one is refused."""


class AccountSettings(Protocol):
    """The settings that the account of a venue needs; the sections `feed` and `accounts` have and describe them."""

    @property
    def venue(self) -> str:
        """Name of the venue."""

    @property
    def origin(self) -> str:
        """Origin of the data; it chooses the default addresses."""

    @property
    def account(self) -> str:
        """The label of the account."""

    @property
    def api_key(self) -> Secret | None:
        """The key by which the venue knows its owner: its name, of Coinbase `organizations/…/apiKeys/…`."""

    @property
    def api_secret(self) -> Secret | None:
        """What is signed with: the secret of an HMAC key, or a private key as PEM or base64."""

    @property
    def accounts_ws_url(self) -> str | None:
        """Base address of the private streams; None for the venue's own."""

    @property
    def ws_url(self) -> str | None:
        """Base address of the public streams, where a replay has the private ones too; None for the venue's own."""

    @property
    def rest_url(self) -> str | None:
        """Base address of the REST interface; None for the venue's own."""

    @property
    def recv_window_ms(self) -> int:
        """How old a signed request may be when the venue reads it."""


class AccountRefusedError(Exception):
    """The venue refuses the key, or the key cannot be used: repeating the request at once is of no use. The text says
    what is wrong and what to do; the venue's own words in it are `quoted`.
    """


class StreamExpiredError(Exception):
    """What the private stream was opened with has ended (a listen key, a token): a new connection is needed."""


class Login(Struct, frozen=True):
    """How a private stream is opened: made anew for each connection, as tokens and signatures are for one use. It is
    shown nowhere.
    """

    url: str
    requests: tuple[str, ...] = ()
    """Sent in this order when the connection is open; `parse` gives `opened` when the venue has confirmed the last one
    that opens the stream. Empty: the stream is open with the connection itself.
    """
    headers: Headers = Headers()

    def __repr__(self) -> str:
        """Nothing of it: addresses and requests have tokens and signatures in them."""
        return "Login()"


class ParsedAccount(Struct, frozen=True):
    """What a frame of a private stream means."""

    reports: Sequence[AccountReport] = ()
    refused: str = ""
    """Why it is refused as a frame that cannot be true or read; its content is not shown, as it is of an account."""


def parsed(frame: bytes, read: Callable[[bytes], Iterable[AccountReport]]) -> ParsedAccount:
    """What a frame of a private stream means by `read`, without the reports that cannot be true. Never raises, whatever
    `read` does: then the frame is refused.
    """
    if len(frame) > LONGEST_FRAME:
        return ParsedAccount(refused="it is too long")
    try:
        reports = tuple(read(frame))
        faults = [fault_of_report(report) for report in reports]
    except msgspec.ValidationError:
        return ParsedAccount(refused="a field is not what it should be")
    except Exception:  # noqa: BLE001 - whatever a decoder raises, only this frame is refused
        return ParsedAccount(refused="it cannot be read")
    true = tuple(report for report, fault in zip(reports, faults, strict=True) if not fault)
    return ParsedAccount(true, next(filter(None, faults), ""))


class AccountFeed(Protocol):
    """The account of one venue, read only. All methods but `parse` and `ping` are of one event loop, that of the
    venue's REST client whose rate limit they share.

    Methods that ask the venue raise `AccountRefusedError` for 401, 403 and what else will not pass by itself, and
    `VenueError` for what may pass. A time that the venue refuses is met by one correction, inside.
    """

    venue: str
    keep_s: float
    """Time between two calls of `keep`; 0: it is never called."""
    ping_s: float
    """Time between two `ping`; 0: the connection's own pings are all there is, and each pong is a sign of life."""

    async def powers(self) -> frozenset[Right] | None:
        """What the key may do besides reading; None where the venue does not say it."""

    async def login(self) -> Login:
        """What opens a private stream."""

    async def keep(self) -> None:
        """Keeps the stream alive; `StreamExpiredError` when a new connection is needed."""

    def ping(self) -> str | None:
        """A request that the venue answers on the private stream only while it is subscribed; `parse` makes `alive` of
        the answer. None where there is none.
        """

    def parse(self, frame: bytes) -> ParsedAccount:
        """What a frame means. It never raises, whatever the frame contains. Reports of the reply that confirms the
        subscription: `opened`; of a refusal: `refused`; of an end of the subscription: `expired`.
        """

    async def snapshot(self) -> AccountSnapshot:
        """All that the account has now."""
