"""The cases of a foreign client, and how one process runs them. It runs in the client's environment, and so imports
nothing but the standard library.

A case is a call of the client with a check of its values. First come those that are signed, for a paused exchange is
behind the clock of its clients from then on; then, while the market is paused, those that are `still`: there every
answer can be compared with the exchange's own REST to the last digit; then all that need a market that moves.
"""

import asyncio
import inspect
import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeAlias

from tests.conformance.exchange import Exchange, paused

CASE_S: Final = 60.0
"""Longest that a case may last."""
KNOWN_S: Final = 10.0
"""Longest that one may last which the client gets wrong."""

Run: TypeAlias = Callable[[Any, Exchange], Any]
"""A case: the client and the exchange in, nothing out; it raises when a value is not the exchange's."""
Opens: TypeAlias = Callable[[Exchange], AbstractAsyncContextManager[Any]]
"""Makes a client that is pointed at the exchange."""
Report: TypeAlias = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Case:
    """A call, the market that it is for, and the reason why the client itself gets it wrong, where it does."""

    name: str
    market: str
    run: Run
    still: bool = False
    signed: bool = False
    fails: str = ""

    @property
    def turn(self) -> int:
        """When it comes: signed ones, still ones, others."""
        return 0 if self.signed else 1 if self.still else 2


class Suite:
    """What is wanted of a client; `opens` makes it."""

    def __init__(self, opens: Opens) -> None:
        self.opens = opens
        self.cases: list[Case] = []

    def case(
        self, name: str, *markets: str, still: bool = False, signed: bool = False, fails: str = ""
    ) -> Callable[[Run], Run]:
        """Adds a function as a case of each of the markets."""

        def add(run: Run) -> Run:
            self.cases += [Case(name, market, run, still, signed, fails) for market in markets]
            return run

        return add

    def same(
        self,
        name: str,
        market: str,
        call: Callable[[Any], Any],
        path: str,
        *,
        fails: str = "",
        compare: Callable[[Any, Any], None] | None = None,
        **params: Any,
    ) -> None:
        """Adds a case: the call gives the answer that REST has for `path`, or one that `compare` accepts for it."""

        async def run(client: Any, exchange: Exchange) -> None:
            got = await outcome(lambda: call(client))
            wanted = exchange.get(path, **params)
            (compare or same)(got, wanted)

        self.cases.append(Case(name, market, run, still=True, fails=fails))

    def of(self, market: str) -> list[Case]:
        """The cases of a market in the order in which they run."""
        return sorted((case for case in self.cases if case.market == market), key=lambda case: case.turn)


def same(got: Any, wanted: Any) -> None:
    """Fails with the first difference, and where it is."""
    where = _difference(got, wanted, "")
    assert where is None, where


def covered(got: Any, wanted: Any) -> None:
    """The same for a client whose objects hold only the fields that it knows."""
    same(got, _shared(wanted, got))


def _shared(wanted: Any, got: Any) -> Any:
    """What is wanted, without the fields of objects that `got` does not have."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        assert got or not wanted, "an object without a field"
        return {key: _shared(value, got[key]) for key, value in wanted.items() if key in got}
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [_shared(*pair) for pair in zip(wanted, got, strict=True)]
    return wanted


def _difference(got: Any, wanted: Any, where: str) -> str | None:
    if isinstance(got, dict) and isinstance(wanted, dict):
        if got.keys() != wanted.keys():
            return f"{where or 'the answer'}: keys {sorted(map(str, got.keys() ^ wanted.keys()))[:5]} on one side only"
        return next(filter(None, (_difference(got[key], wanted[key], f"{where}.{key}") for key in wanted)), None)
    if isinstance(got, list) and isinstance(wanted, list):
        if len(got) != len(wanted):
            return f"{where or 'the answer'}: {len(got)} rows instead of {len(wanted)}"
        pairs = enumerate(zip(got, wanted, strict=True))
        return next(filter(None, (_difference(*pair, f"{where}[{row}]") for row, pair in pairs)), None)
    return None if got == wanted else f"{where or 'the answer'}: {got!r:.80} instead of {wanted!r:.80}"


async def outcome(call: Callable[[], Any]) -> Any:
    """What a function gives that is async, returns an awaitable, or blocks: that one runs on a thread of its own."""
    if inspect.iscoroutinefunction(call):
        return await call()
    result = await asyncio.to_thread(call)
    return await result if inspect.isawaitable(result) else result


async def run(suite: Suite, exchange: Exchange, report: Report, *, case_s: float = CASE_S) -> None:
    """Runs the cases of the exchange's market, and reports their names and then the outcome of each; none lasts
    longer than `case_s`.
    """
    cases = suite.of(exchange.market)
    report({"cases": [case.name for case in cases]})
    async with suite.opens(exchange) as client:
        for turn, cases_of_turn in groupby(cases, key=lambda case: case.turn):
            with paused(exchange) if turn == 1 else nullcontext():
                for case in cases_of_turn:
                    report(await _outcome_of(case, client, exchange, case_s))
        report({"ended": True})


async def _outcome_of(case: Case, client: Any, exchange: Exchange, case_s: float) -> dict[str, Any]:
    most_s = min(KNOWN_S, case_s) if case.fails else case_s
    try:
        async with asyncio.timeout(most_s):
            await outcome(lambda: case.run(client, exchange))
    except TimeoutError as error:
        reason = str(error) or f"nothing within {most_s:.0f} s"
    except Exception as error:  # noqa: BLE001 - whatever a foreign client raises is the outcome
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__}: {place.line}"
    else:
        reason = ""
    return {"case": case.name, "reason": " ".join(reason.split())[:400], "fails": case.fails}
