"""Command lines before the real parsers, which run nothing."""

import argparse
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Never
from unittest import mock

from bytewax.run import _create_arg_parser
from typer.main import get_command

from flows.command.app import PROGRAM, build_app
from flows.command.handover import HANDED_OVER
from tests.commands_page import commands
from tests.marked import ROOT


class _UnderstoodError(Exception):
    pass


def understand(words: Sequence[str]) -> str:
    """Lets the command's own parser read the words, and gives the command; whatever it raises when it does not
    understand them.
    """
    match list(words):
        case ["make", *arguments]:
            subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, check=True, capture_output=True)
            return "make"
        case ["marketflow", *arguments] | ["python", "-m", "flows", *arguments]:
            return _understand_ours(arguments)
        case ["python", "-m", "bytewax.run", *arguments]:
            flow: str = _create_arg_parser().parse_args(arguments).import_str
            if importlib.util.find_spec(flow) is None:
                raise ModuleNotFoundError(flow)
            return flow
        case ["python", "-m", module, *arguments]:
            _understand_module(module, arguments)
            return module
    raise ValueError(f"nobody knows the parser of {words[0]}")


def _understand_ours(arguments: list[str]) -> str:
    context: Any = get_command(build_app()).make_context(PROGRAM, arguments)
    rest = [*context._protected_args, *context.args]
    path = next(path for path in commands() if rest[: len(path.split())] == path.split())
    rest = rest[len(path.split()) :]
    if path in HANDED_OVER:
        _understand_module(HANDED_OVER[path][0], rest)
    else:
        commands()[path].make_context(path, rest)
    return path


def _understand_module(name: str, arguments: list[str]) -> None:
    """Calls the `main` of a module, which ends as soon as its arguments are parsed."""
    if hasattr(importlib.import_module(name), "__path__"):
        name = f"{name}.__main__"
    main = importlib.import_module(name).main
    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser: argparse.ArgumentParser, *given: Any, **named: Any) -> Never:
        parse(parser, *given, **named)
        raise _UnderstoodError

    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", parse_only),
        mock.patch.object(sys, "argv", [name, *arguments]),
    ):
        try:
            main()
        except _UnderstoodError:
            return
    raise ValueError(f"{name} parses nothing")
