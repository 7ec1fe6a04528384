import argparse
import shlex
from typing import Any

import pytest

from flows.command.examples import EXAMPLES, Example, epilog, plain_epilog
from flows.command.handover import HANDED_OVER
from flows.verify import _parser as verify_parser
from sources.record import _arguments as record_arguments
from sources.replay.__main__ import parse_arguments as replay_arguments
from tests.commands_page import commands

PARSERS: dict[str, Any] = {
    "verify": lambda arguments: verify_parser().parse_args(arguments),
    "record": lambda arguments: record_arguments(arguments, "record", ""),
    "replay": replay_arguments,
}
ALL = [(path, example) for path, examples in EXAMPLES.items() for example in examples]


def test_every_command_has_examples_and_no_other_name_has() -> None:
    assert set(EXAMPLES) == set(commands())


@pytest.mark.parametrize(("path", "example"), ALL, ids=[example.line for _, example in ALL])
def test_every_example_can_be_understood(path: str, example: Example) -> None:
    words = shlex.split(example.line.partition("|")[0].partition(">")[0])
    words = words[words.index("marketflow") + 1 :]
    assert words[: len(path.split())] == path.split()
    arguments = words[len(path.split()) :]
    if path in PARSERS:
        assert isinstance(PARSERS[path](arguments), argparse.Namespace)
    elif path not in HANDED_OVER:
        commands()[path].make_context(path, arguments)


def test_both_epilogs_have_every_line() -> None:
    for path, examples in EXAMPLES.items():
        for example in examples:
            assert example.line in epilog(path)
            assert f"  {example.line}\n    {example.does}" in plain_epilog(path)
