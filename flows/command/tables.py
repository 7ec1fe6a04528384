"""What commands print: tables for people, from texts that others wrote, and JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer


def print_json(value: Any) -> None:
    """Prints a value as one line of JSON on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table on standard output, without markup and controls of its texts. On a terminal it is as wide as that;
    elsewhere a row is a line, however long, so that programs can search it.
    """
    from flows.foreign import visible

    shown = [[visible(text) for text in row] for row in rows]
    if sys.stdout.isatty():
        _print_wrapped(columns, shown)
        return
    everything = [list(columns), *shown]
    widths = [max(len(row[column]) for row in everything) for column in range(len(columns))]
    for row in everything:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _print_wrapped(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
