import pytest

from flows.command.examples import EXAMPLES, Example, epilog, plain_epilog
from tests.commands_page import commands
from tests.fakes.documented import Line
from tests.fakes.understood import understand
from tests.marked import README

ALL = [(path, example) for path, examples in EXAMPLES.items() for example in examples]


def test_every_command_has_examples_and_no_other_name_has() -> None:
    assert set(EXAMPLES) == set(commands())


@pytest.mark.parametrize(("path", "example"), ALL, ids=[example.line for _, example in ALL])
def test_every_example_can_be_understood(path: str, example: Example) -> None:
    assert understand(Line(README, example.line).commands[0]) == path


def test_both_epilogs_have_every_line() -> None:
    for path, examples in EXAMPLES.items():
        for example in examples:
            assert example.line in epilog(path)
            assert f"  {example.line}\n    {example.does}" in plain_epilog(path)
