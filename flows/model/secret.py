"""Secrets: texts that are shown nowhere, and leave their object at one place."""

import base64
from collections.abc import Callable
from typing import Any, Final, NoReturn, final

HIDDEN: Final = "(secret)"
"""What is shown in the place of a secret."""
WEBHOOK_PREFIX: Final = "whsec_"
"""Begin of the secret of a webhook (standardwebhooks.com)."""
LEAST_KEY: Final = 24
"""Bytes that the key of a webhook has at least."""


@final
class Secret:
    """A secret text. No form of it shows it: neither `repr` and `str`, nor a format, JSON, pickle or a copy of its
    attributes. Only `reveal` gives it, for the moment of use.
    """

    __slots__ = ("_reveal",)

    def __init__(self, text: str) -> None:
        # a closure: what lists attributes and their values finds a function, and not the text
        self._reveal: Callable[[], str] = lambda: text

    def reveal(self) -> str:
        """The secret itself. What it is used for must not keep it in a local variable of a frame that may fail."""
        return self._reveal()

    def __bool__(self) -> bool:
        return bool(self._reveal())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._reveal() == self._reveal()

    def __hash__(self) -> int:
        return hash((Secret, self._reveal()))

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError("a secret is not written anywhere")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> "Secret":
        return self


def webhook_key(secret: Secret) -> bytes:
    """The key that the secret of a webhook is in base64 behind `WEBHOOK_PREFIX`; `ValueError` for a text that is none,
    or a key that is too short.
    """
    text = secret.reveal()
    try:
        key = base64.b64decode(text.removeprefix(WEBHOOK_PREFIX), validate=True)
    except ValueError:  # no base64, or no ASCII
        key = b""
    if not text.startswith(WEBHOOK_PREFIX) or len(key) < LEAST_KEY:
        how = f"write {WEBHOOK_PREFIX} and at least {LEAST_KEY} random bytes in base64"
        raise ValueError(f"{how}, as `echo {WEBHOOK_PREFIX}$(openssl rand -base64 32)` makes them")
    return key
