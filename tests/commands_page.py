"""The commands in docs/commands.md, made from the commands themselves: `python -m tests.commands_page`."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from flows.command.app import build_app
from flows.command.examples import EXAMPLES
from flows.command.handover import HANDED_OVER
from tests.marked import DOCS, replace

PAGE = DOCS / "commands.md"


def commands() -> dict[str, Any]:
    """Every command by its words, those of groups instead of the groups."""
    return dict(_below("", get_command(build_app())))


def _below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, each in command.commands.items():
        yield from _below(f"{path} {name}".strip(), each)


def text() -> str:
    """A section for each command: summary, examples, options."""
    return "\n\n".join(_section(path, command) for path, command in commands().items())


def _section(path: str, command: Any) -> str:
    parts = [f"### {path}", " ".join((command.help or "").split()), _examples(path)]
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        parts.append("\n".join(("| option | meaning |", "|---|---|", *rows)))
    elif path in HANDED_OVER:
        parts.append(f"`marketflow {path} --help` lists its options.")
    return "\n\n".join(parts)


def _examples(path: str) -> str:
    width = max(len(example.line) for example in EXAMPLES[path])
    lines = (f"{example.line:<{width}}  # {example.does}" for example in EXAMPLES[path])
    return "\n".join(("```sh", *lines, "```"))


def _row(parameter: Any) -> str:
    is_flag = getattr(parameter, "is_flag", False)
    names = ", ".join((*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = parameter.metavar or parameter.name.upper()
    elif not is_flag:
        names = f"{names} {parameter.metavar or parameter.name.upper()}"
    default = "" if is_flag or parameter.default in (None, "", 0) else f" Default: {parameter.default}."
    shown = names.replace("|", "\\|")
    return f"| `{shown}` | {parameter.help}{default} |"


def main() -> None:
    """Puts the commands into the page."""
    replace(PAGE, "commands", text())


if __name__ == "__main__":
    main()
