"""Several venues in one deployment: `[venues.<name>]`, each with any key of `[feed]`; what it does not set is as in
`[feed]`.
"""

from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import model_validator

from flows.settings.feed import Feed
from flows.settings.section import Section, wrong_value
from flows.settings.sources import VENUES

_OWN: Final = frozenset(
    (
        "venue",
        "ws_url",
        "book_ws_url",
        "rest_url",
        "encoding",
        "sbe_ws_url",
        "api_key",
        "api_secret",
        "api_secret_file",
        "account",
        "accounts_ws_url",
    )
)
"""Keys that only the venue `feed.venue` takes from `[feed]`: each venue has its own addresses, encoding and account."""


class VenueFeed(Feed):
    """One of several venues: whether it is followed, and any key of `[feed]` but `venue`. What is not set is as in
    `[feed]`, but for addresses, encoding and account, which only the venue that `feed.venue` names takes from there.
    """

    enabled: bool = True
    """Whether this venue is followed."""

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        """A replay or a made-up market is at no address of the venue's own."""
        for key in ("ws_url", "rest_url") if self.enabled and self.origin in ("replay", "synthetic") else ():
            if getattr(self, key) is None:
                raise wrong_value(key, f"the origin is {self.origin}: write the address that serves this venue")
        return self


def inherited(values: Any) -> Any:
    """The values of all sections, those of each venue with what it takes from `[feed]`; what is no section is left to
    its check.
    """
    venues = values.get(VENUES) if isinstance(values, Mapping) else None
    if not isinstance(venues, Mapping) or not all(isinstance(own, Mapping | Section) for own in venues.values()):
        return values
    feed = _written(values.get("feed", {}))
    main = feed.get("venue", Feed.model_fields["venue"].default)
    return {**values, VENUES: {name: _of_venue(name, _written(own), feed, main) for name, own in venues.items()}}


def _of_venue(name: str, own: dict[str, Any], feed: dict[str, Any], main: str) -> dict[str, Any]:
    if "venue" in own:
        raise wrong_value(f"{VENUES}.{name}.venue", "leave it out: the name of the section is the venue")
    left_out = {"venue"} if name == main else _OWN
    return {key: value for key, value in feed.items() if key not in left_out} | own | {"venue": name}


def _written(section: Any) -> dict[str, Any]:
    """What is set in a section."""
    if isinstance(section, Section):
        return {
            key: getattr(section, key) for key in section.model_fields_set if key != "venue" or type(section) is Feed
        }
    return dict(section) if isinstance(section, Mapping) else {}
