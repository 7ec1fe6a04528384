from typing import Any, NamedTuple

import pytest

from flows.operators.state_version import StateVersionError, restore


class Part(NamedTuple):
    name: str


class Form(NamedTuple):
    version: int
    newest: int | None
    parts: list[Part]


@pytest.mark.parametrize("state", [(3, None, [("a",)]), Form(3, None, [Part("a")])])
def test_a_state_of_this_version_is_restored_by_its_fields(state: Any) -> None:
    assert restore(state, 3, Form, "the machine") == Form(3, None, [Part("a")])


@pytest.mark.parametrize("state", [None, (), [3, None, []], (2, None, []), (True, None, []), ("3", None, [])])
def test_another_version_is_refused(state: Any) -> None:
    with pytest.raises(StateVersionError, match="and this program reads 3"):
        restore(state, 3, Form, "the machine")


@pytest.mark.parametrize("state", [(3,), (3, None, [], 1), (3, "1", []), (3, 1, [(1,)]), Form(3, 1.5, [])])  # type: ignore[arg-type]
def test_another_form_is_refused(state: Any) -> None:
    with pytest.raises(StateVersionError, match="the state of the machine has another form: "):
        restore(state, 3, Form, "the machine")
