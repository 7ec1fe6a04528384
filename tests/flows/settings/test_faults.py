"""Whatever is wrong with a setting, it is said in words of ours."""

from typing import Any

import pytest
from pydantic import ValidationError

from flows.settings import Settings
from flows.settings.faults import text_of

ODD: list[Any] = [
    -1, 0, 1.5, 10**30, -(10**30), float("nan"), float("inf"), "", "x", "-1", "1e999", "true", b"\xff", True, None, [],
    [1], ["x"], [[]], {}, {"1m": "x"}, {"1m": -1}, {"1m": 10**9}, {"1m": []}, {"x": 1}, {1: 1}, object(),
]  # fmt: skip
PYDANTICS = ("Input should", "Unable to", "should be a valid", "should have", "Field required", "Keys should")
KEYS = [(name, key) for name, section in Settings().in_sections.items() for key in type(section).model_fields]


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_no_value_of_any_setting_is_refused_in_the_words_of_a_library(section: str, key: str) -> None:
    for value in ODD:
        try:
            Settings.model_validate({section: {key: value}})
        except ValidationError as error:
            for found in error.errors():
                text = text_of(found)
                assert not any(words in text for words in PYDANTICS), (value, found["type"], text)
