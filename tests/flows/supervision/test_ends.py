"""How a process has ended, in words."""

import signal

import pytest

from flows.process.exit_codes import CANNOT_RUN, USAGE
from flows.supervision.ends import describe_end, is_refusal, signal_of


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "has ended by itself"),
        (1, "ended with exit code 1"),
        (78, "ended with exit code 78"),
        (255, "ended with exit code 255"),
        (-15, "was ended by SIGTERM"),
        (139, "was ended by SIGSEGV"),
    ],
)
def test_ends(code: int, text: str) -> None:
    assert describe_end(code) == text


@pytest.mark.parametrize("code", [-9, 137])
def test_a_kill_hints_at_memory(code: int) -> None:
    assert describe_end(code) == (
        "was ended by SIGKILL: a user has killed it, or the system when memory ran out (`dmesg` says so)"
    )


def test_signals() -> None:
    assert signal_of(-2) == signal_of(130) == signal.SIGINT
    assert signal_of(0) is signal_of(1) is signal_of(128) is signal_of(255) is None


def test_refusals() -> None:
    assert [code for code in range(-64, 256) if is_refusal(code)] == sorted((USAGE, CANNOT_RUN))
