"""What a check has found."""

from typing import Literal, NamedTuple, TypeAlias

State: TypeAlias = Literal["ok", "warn", "fail"]


class Result(NamedTuple):
    """The result of one check. `warn` is something to know; `fail`: it does not start, or not as it should."""

    check: str
    state: State
    found: str
    remedy: str = ""
    """What to do; empty where all is well."""
