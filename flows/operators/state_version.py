"""Recovered state begins with a version. Another one than the program's own is refused, never guessed at, and so is a
state of another form.
"""

from typing import TypeVar, cast

from msgspec import ValidationError, convert

S = TypeVar("S", bound=tuple[object, ...])


class StateVersionError(ValueError):
    """A recovered state was written by another version of the program, or is damaged; the text names the machine and
    what is wrong.
    """


class StateKeyError(ValueError):
    """A recovered state is another machine's than that for which it is kept; the text names both."""


def check_version(state: object, version: int, machine: str) -> None:
    """`StateVersionError` unless a state is a tuple that begins with `version`."""
    found = state[0] if isinstance(state, tuple) and state else None
    if type(found) is not int or found != version:
        raise StateVersionError(f"the state of {machine} has version {found!r:.40}, and this program reads {version}")


def restore(state: object, version: int, form: type[S], machine: str) -> S:
    """A recovered state as the `NamedTuple` that is its form, each field of its type. `StateVersionError` for one
    of another version, or with fields that are missing, too many or of another type.
    """
    check_version(state, version, machine)
    fields = tuple(cast("tuple[object, ...]", state))  # an instance of the form itself would not be looked into
    try:
        return convert(fields, form)
    except ValidationError as error:
        raise StateVersionError(f"the state of {machine} has another form: {error}") from error
