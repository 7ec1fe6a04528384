"""Numbers in arguments of commands are within their bounds."""

from argparse import ArgumentTypeError

import pytest

from flows.texts.arguments import number_from, whole_from
from sources.record import _arguments
from sources.replay.__main__ import parse_arguments


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400", "-1", "1.1", "", "x", "9" * 5_000])
def test_what_is_no_number_in_the_bounds_is_named(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=r"is no number from 0\.5 to 1"):
        number_from(0.5, 1)(text)
    with pytest.raises(ArgumentTypeError, match="is no whole number from 2 to 9,000"):
        whole_from(2, 9_000)(text)


def test_the_bounds_belong_to_them() -> None:
    assert [number_from(0.5, 1)(text) for text in ("0.5", "1", " 7e-1 ")] == [0.5, 1.0, 0.7]
    assert [whole_from(2, 9)(text) for text in ("2", "9")] == [2, 9]


@pytest.mark.parametrize("option", ["--seed", "--trades-per-s", "--begin", "--settle", "--port", "--check-s"])
def test_no_number_of_the_replay_exchange_is_taken_without_bounds(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("nan", "-1e300", "9" * 30):
        with pytest.raises(SystemExit) as ended:
            parse_arguments(["--synthetic", f"{option}={text}"])
        assert ended.value.code == 2
        assert f"{option}: '{text}' is no " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nan", "inf", "0", "-5"])
def test_a_recording_has_a_length(text: str) -> None:
    with pytest.raises(SystemExit):
        _arguments([f"--minutes={text}"], "record", "")
