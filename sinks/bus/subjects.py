"""Subjects of the bus: `mf.<venue>.<symbol>.<channel>[.<part> …]`, those of accounts `mf-account.…` in the same form.

A part is a timeframe, or what else tells messages apart of which each has a newest one: a flow, its line, an account.
So the newest message of every subject is the state of everything. The two trees are apart, so that a server can permit
one without the other.
"""

from collections.abc import Iterable
from typing import Final

from sinks.hub.messages import Topic
from sinks.hub.rights import ACCOUNT_CHANNELS

MARKET: Final = "mf"
ACCOUNT: Final = "mf-account"
TREES: Final = (f"{MARKET}.>", f"{ACCOUNT}.>")
"""All subjects of the stream."""
NONE: Final = "="
"""Token of what is empty: nothing else is encoded as it."""
FORMING: Final = "forming"
"""Last token of a candle that forms, so that the newest closed one is found beside it."""
LOST: Final = "Lost"
"""Channel of the announcement that messages were lost before they could be published."""

_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def token(text: str) -> str:
    """A text as one token of a subject: letters, digits, `_` and `-` as they are, each other byte of its UTF-8 as `=`
    and two hexadecimal digits. Different texts have different tokens.
    """
    if not text:
        return NONE
    if _PLAIN.issuperset(text):
        return text
    return "".join(
        char if char in _PLAIN else "".join(f"={byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        for char in text
    )


def text_of(encoded: str) -> str:
    """The text of a token. `ValueError` for one that `token` does not make."""
    first, *rest = encoded.split("=")
    if encoded == NONE:
        return ""
    raw = bytearray(first, "ascii")
    for piece in rest:
        raw += bytes((int(piece[:2], 16),)) + piece[2:].encode("ascii")
    text = raw.decode("utf-8", "surrogatepass")
    if token(text) != encoded:
        raise ValueError(f"{encoded!r} is no token of a subject")
    return text


def subject_of(topic: Topic, *parts: str) -> str:
    """The subject of a topic; `parts` tell messages of the same topic apart."""
    tree = ACCOUNT if topic.channel in ACCOUNT_CHANNELS else MARKET
    more = (part for part in (topic.timeframe, topic.of_account, *parts) if part)
    return ".".join((tree, token(topic.venue), token(topic.symbol), topic.channel, *map(token, more)))


def filters(venues: Iterable[str], *, accounts: bool) -> list[str]:
    """What a reader of these venues subscribes to."""
    trees = (MARKET, ACCOUNT) if accounts else (MARKET,)
    return [f"{tree}.{token(venue)}.>" for tree in trees for venue in venues]


def channel_of(subject: str) -> str:
    """The channel of a subject; "" for one that no flow publishes to."""
    return (subject.split(".", 4) + [""] * 3)[3]


def is_ours(subject: str) -> bool:
    """Whether a subject, or a pattern of some, is in the trees of the bus."""
    return subject.startswith((f"{MARKET}.", f"{ACCOUNT}."))


def venue_of(subject: str) -> str:
    """The venue of a subject."""
    return text_of(subject.split(".", 2)[1])


def symbol_of(subject: str) -> str:
    """The symbol of a subject; "" where it has none."""
    return text_of(subject.split(".", 3)[2])
