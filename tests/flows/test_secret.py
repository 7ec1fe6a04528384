"""A secret is shown nowhere."""

import copy
import json
import pickle
import traceback
from collections.abc import Callable

import msgspec
import pytest

from flows.model.secret import HIDDEN, Secret

TEXT = "s3cret-of-an-account"


def test_no_form_of_a_secret_shows_it() -> None:
    secret = Secret(TEXT)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", str({"a": secret}), repr([secret])]
    assert [TEXT in text for text in shown] == [False] * len(shown)
    assert repr(secret) == HIDDEN
    assert not hasattr(secret, "__dict__")
    assert copy.deepcopy({"a": secret})["a"] is secret


@pytest.mark.parametrize("write", [pickle.dumps, json.dumps, msgspec.json.encode, msgspec.msgpack.encode])
def test_a_secret_is_not_written(write: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as error:
        write(Secret(TEXT))
    assert TEXT not in str(error.value)


def test_a_traceback_with_local_variables_does_not_show_it() -> None:
    def fails(secret: Secret) -> None:
        raise ValueError(f"cannot use {secret}")

    try:
        fails(Secret(TEXT))
    except ValueError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert TEXT not in "".join(shown.format())


def test_only_reveal_gives_it() -> None:
    assert Secret(TEXT).reveal() == TEXT
    assert Secret(TEXT) == Secret(TEXT)
    assert Secret(TEXT) != Secret("another")
    assert len({Secret(TEXT), Secret(TEXT)}) == 1
    assert not Secret("")
