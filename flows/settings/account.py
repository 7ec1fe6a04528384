"""Settings of accounts. Keys and secrets stand with the venue, in `[feed]` or `[venues.<name>]`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import Struct
from pydantic import Field

from flows.model.secret import Secret
from flows.settings.section import Section, wrong_value
from flows.settings.values import MOST_DAYS, SECRET_LENGTH, Asset, Seconds

if TYPE_CHECKING:
    from flows.settings import Settings
    from flows.settings.feed import Feed

_FILE: Final = "api_secret_file"


class Accounts(Section):
    """Accounts: balances and positions of the venues that have an `api_secret`. They are only read."""

    audit_s: Seconds = 300.0
    """Time between two comparisons with a fresh snapshot. What differs is an incident, and the venue's word holds."""
    stale_s: Annotated[float, Field(ge=3, le=3_600)] = 30.0
    """How long a private stream may be silent, answers to our own requests included, before its account is stale."""
    recv_window_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000
    """How old a signed request may be when the venue reads it (Binance)."""
    quote: Asset = "USDT"
    """The asset in which balances are valued and totals are kept."""
    allow_powerful_keys: bool = False
    """Take keys that may trade, transfer or withdraw. Nothing here does any of it; a thief of the key could."""
    history_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = 365
    """Days that the totals of each minute are kept."""


class FollowedAccount(Struct, frozen=True):
    """What the account of a venue is followed with: the `AccountSettings` of sources."""

    venue: str
    origin: str
    account: str
    api_key: Secret | None
    api_secret: Secret | None
    accounts_ws_url: str | None
    ws_url: str | None
    rest_url: str | None
    recv_window_ms: int

    @classmethod
    def of(cls, feed: "Feed", accounts: Accounts) -> "FollowedAccount":
        """From the settings of its venue and those of accounts."""
        return cls(
            feed.venue, feed.origin, feed.account, feed.api_key, feed.api_secret, feed.accounts_ws_url, feed.ws_url,
            feed.rest_url, accounts.recv_window_ms,
        )  # fmt: skip


def withheld(settings: "Settings") -> dict[Literal["hub", "api"], str]:
    """Which servers give what is known of accounts to no client, and what to do: as `sinks.hub.rights` has it. None of
    them where no account is followed.
    """
    hub, api = settings.hub, settings.api
    found: dict[Literal["hub", "api"], str] = {}
    if not any(feed.has_account for feed in settings.by_venue.values()):
        return found
    no_one = "no client gets balances and positions of"
    if hub.enabled and hub.token and not hub.account_token:
        found["hub"] = f"{no_one} the hub: hub.token is set, and hub.account_token is not"
    if not api.account_token and (api.token or hub.token or hub.account_token):
        cause = "api.token" if api.token else "hub.token" if hub.token else "hub.account_token"
        found["api"] = f"{no_one} the interface: {cause} is set, and api.account_token is not"
    return found


def with_secret(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values of a venue with the secret of the file that they name."""
    name, secret = values.get(_FILE), values.get("api_secret")
    if name is None or isinstance(secret, Secret):
        return values
    if secret is not None:
        raise wrong_value(_FILE, "api_secret is set too: keep one of them")
    return {**values, "api_secret": Secret(_text_in(str(name)))}


def _text_in(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            found = file.read(SECRET_LENGTH + 1)
        text = found.decode("ascii").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in ASCII"
        raise wrong_value(_FILE, f"this file cannot be read: {reason}") from None
    if not text or len(found) > SECRET_LENGTH:
        raise wrong_value(_FILE, f"this file is empty, or longer than {SECRET_LENGTH} bytes")
    return text
