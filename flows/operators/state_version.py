"""Recovered state begins with a version. Another one than the program's own is refused, never guessed at."""


class StateVersionError(ValueError):
    """A recovered state was written by another version of the program; the text names machine and versions."""


def check_version(state: object, version: int, machine: str) -> None:
    """`StateVersionError` unless a state is a tuple that begins with `version`."""
    found = state[0] if isinstance(state, tuple) and state else None
    if type(found) is not int or found != version:
        raise StateVersionError(f"the state of {machine} has version {found!r:.40}, and this program reads {version}")
