"""A test's environment is its own: what one leaves behind is not there for the next, and what it removes is."""

import os

LEFT = "MARKETFLOW_LEFT_BY_A_TEST"


def test_one_leaves_a_variable_and_removes_another() -> None:
    os.environ[LEFT] = "synthetic"
    del os.environ["PATH"]
    assert (os.environ.get(LEFT), os.environ.get("PATH")) == ("synthetic", None)


def test_the_next_finds_what_was_there_before() -> None:
    assert LEFT not in os.environ
    assert "PATH" in os.environ
