"""The whole checklist: listens, judges every rule, prints what was found."""

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from flows.foreign import visible
from sources.replay.conformance import line_rules, rest_rules, stream_rules
from sources.replay.conformance.peer import Peer
from sources.replay.conformance.rules import MISSHAPEN, UNREACHABLE, Finding, Outcome, Rule, described, judged

ANSWER_S: Final = 20.0
"""Longest time for one rule."""
FOLLOWED: Final = "streams can be listened to"


def rules_of(market: str) -> list[Rule]:
    """The checklist of a market, `spot` or `usdm`."""
    common = [*rest_rules.RULES, *line_rules.RULES, *stream_rules.RULES]
    if market == "spot":
        return [*common, *line_rules.SPOT_RULES]
    return [*common, *rest_rules.USDM_RULES, *line_rules.USDM_RULES, *stream_rules.USDM_RULES]


async def findings_about(
    peer: Peer, *, listen_s: float, on_judged: Callable[[Finding], None] = lambda _: None
) -> list[Finding]:
    """Listens to the streams for so long, and judges every rule, one after the other: a server bans who sends much at
    once.
    """
    findings: list[Finding] = []

    def take(finding: Finding) -> None:
        findings.append(finding)
        on_judged(finding)

    try:
        await peer.listen(stream_rules.streams_of(peer.market, peer.symbol), listen_s)
    except (*UNREACHABLE, *MISSHAPEN) as error:
        take(Finding(stream_rules.AREA, FOLLOWED, Outcome.BROKEN, described(error)))
    for rule in rules_of(peer.market):
        take(await judged(rule, peer, ANSWER_S))
    return findings


def check(
    rest_url: str, ws_url: str, *, market: str, symbol: str, listen_s: float, as_json: bool = False
) -> list[Finding]:
    """Checks a server and prints a table of the findings, or JSON: an object a rule."""
    count = len(rules_of(market))
    shown = None if as_json or not sys.stderr.isatty() else _progress()

    async def run() -> list[Finding]:
        with shown or nullcontext():
            bar = shown.add_task(f"listening for {listen_s:g} s", total=count) if shown else None

            def on_judged(finding: Finding) -> None:
                if shown and bar is not None:
                    shown.update(bar, advance=1, description=finding.area)

            async with Peer(rest_url, ws_url, market=market, symbol=symbol) as peer:
                return await findings_about(peer, listen_s=listen_s, on_judged=on_judged)

    findings = asyncio.run(run())
    _print(findings, as_json=as_json)
    return findings


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _print(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        rows = [finding._asdict() | {"outcome": finding.outcome.value} for finding in findings]
        sys.stdout.write(json.dumps(rows, ensure_ascii=False) + "\n")
        return
    table = Table("area", "rule", "", "why", box=None, pad_edge=False)
    for one in findings:
        style = {Outcome.BROKEN: "red", Outcome.KEPT: "green", Outcome.UNSEEN: "yellow"}[one.outcome]
        table.add_row(one.area, one.rule, Text(one.outcome.value, style=style), Text(visible(one.detail)))
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(table)
    counts = ", ".join(f"{sum(f.outcome is kind for f in findings)} {kind.value}" for kind in Outcome)
    console.print(counts)
