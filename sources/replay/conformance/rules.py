"""What a rule of the checklist is, and what is found about it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, NamedTuple

import httpx
from websockets.exceptions import WebSocketException

from flows.foreign import quoted
from sources.connection.transport import TransportError
from sources.replay.conformance.peer import Peer

LONGEST_DETAIL: Final = 200


class Outcome(StrEnum):
    """What became of a rule."""

    KEPT = "kept"
    BROKEN = "broken"
    UNSEEN = "not seen"
    """Nothing came by which it can be judged, as on a quiet market."""


class Finding(NamedTuple):
    """The outcome of one rule, and why."""

    area: str
    rule: str
    outcome: Outcome
    detail: str = ""


class BrokenRuleError(Exception):
    """The server does something else; the text says what."""


class UnseenError(Exception):
    """There is nothing to judge the rule by; the text says what did not come."""


class Rule(NamedTuple):
    """One line of the checklist. `judge` raises `BrokenRuleError` or `UnseenError`."""

    area: str
    text: str
    judge: Callable[[Peer], Awaitable[None]]


UNREACHABLE: Final = (httpx.HTTPError, WebSocketException, TransportError, OSError, EOFError)
"""What a connection raises that cannot be opened, or ends."""
MISSHAPEN: Final = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading a message raises that has another form."""


def described(error: Exception) -> str:
    """An error in one line; a part of its words may be the server's."""
    return f"{type(error).__name__}: {quoted(str(error))}"[:LONGEST_DETAIL]


async def judged(rule: Rule, peer: Peer, within_s: float) -> Finding:
    """The finding about a rule. A server that does not answer in time, or not in the protocol's form, breaks it."""
    try:
        async with asyncio.timeout(within_s):
            await rule.judge(peer)
    except BrokenRuleError as error:
        return Finding(rule.area, rule.text, Outcome.BROKEN, str(error)[:LONGEST_DETAIL])
    except UnseenError as error:
        return Finding(rule.area, rule.text, Outcome.UNSEEN, str(error)[:LONGEST_DETAIL])
    except TimeoutError:
        return Finding(rule.area, rule.text, Outcome.BROKEN, f"no answer within {within_s:g} s")
    except UNREACHABLE as error:
        return Finding(rule.area, rule.text, Outcome.BROKEN, described(error))
    except MISSHAPEN as error:
        return Finding(rule.area, rule.text, Outcome.BROKEN, f"not in the form of the protocol: {described(error)}")
    return Finding(rule.area, rule.text, Outcome.KEPT)


def require(is_so: bool, otherwise: str, found: object = None) -> None:
    """`BrokenRuleError` unless something is so; what was `found` is quoted."""
    if not is_so:
        seen = "" if found is None else f": {quoted(json.dumps(found, default=str))}"
        raise BrokenRuleError(otherwise + seen)


def require_fields(message: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]]) -> None:
    """Every field is there, of its JSON type: `str` for decimals, `int`, `bool`."""
    for name, kind in types.items():
        require(name in message, f"the field {name} is missing", message)
        value = message[name]
        is_it = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        require(is_it, f"the field {name} is of another type", value)


def require_decimals(message: Mapping[str, Any], names: Iterable[str]) -> None:
    """Fields that are decimals as text."""
    for name in names:
        value = message.get(name)
        require(isinstance(value, str), f"the field {name} is no text", value)
        float(str(value))


def require_consecutive(numbers: Sequence[int], what: str) -> None:
    """Numbers that rise by one."""
    for before, after in pairwise(numbers):
        require(after == before + 1, f"{what}: {after} follows {before}")


def require_rising(numbers: Sequence[int], what: str) -> None:
    """Numbers that rise."""
    for before, after in pairwise(numbers):
        require(after > before, f"{what}: {after} follows {before}")


def some(messages: Sequence[dict[str, Any]], what: str, least: int = 1) -> Sequence[dict[str, Any]]:
    """At least so many messages; `UnseenError` with fewer."""
    if len(messages) < least:
        raise UnseenError(f"{len(messages)} of at least {least} messages of {what} came")
    return messages


def is_broken(findings: Collection[Finding]) -> bool:
    """Whether a rule is broken."""
    return any(finding.outcome is Outcome.BROKEN for finding in findings)
