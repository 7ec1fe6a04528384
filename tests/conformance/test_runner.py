"""The suite of foreign clients itself: what becomes of a case, and of a process that ends too early.

The clients are not here: `make conformance` runs them.
"""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.exchange import SYMBOL, Exchange
from tests.conformance.runner import CLIENTS, Client, Result, result_of, run_client, table
from tests.conformance.suite import CASE_S, Suite, run, same
from tests.marked import ROOT


class _Recorded(Exchange):
    """An exchange that knows one price, and what was ordered of it."""

    def __init__(self) -> None:
        super().__init__("spot", "127.0.0.1:1")
        self.orders: list[str] = []

    def get(self, path: str, **params: Any) -> Any:
        return {"symbol": params["symbol"], "price": "7.10"}

    def pause(self) -> None:
        self.orders.append("pause")

    def resume(self) -> None:
        self.orders.append("resume")


@asynccontextmanager
async def _opens(exchange: Exchange) -> AsyncIterator[str]:
    yield "client"


async def _reported(cases: Suite, exchange: Exchange, case_s: float = CASE_S) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    await run(cases, exchange, rows.append, case_s=case_s)
    return rows


async def test_a_case_passes_when_the_client_gives_what_rest_gives() -> None:
    cases, exchange = Suite(_opens), _Recorded()
    row = {"symbol": SYMBOL, "price": "7.10"}
    cases.same("right", "spot", lambda client: row, "ticker/price", symbol=SYMBOL)
    cases.same("wrong", "spot", lambda client: {**row, "price": "7.1"}, "ticker/price", symbol=SYMBOL)
    cases.same("of another market", "usdm", lambda client: row, "ticker/price", symbol=SYMBOL)
    assert await _reported(cases, exchange) == [
        {"cases": ["right", "wrong"]},
        {"case": "right", "reason": "", "fails": ""},
        {"case": "wrong", "reason": "AssertionError: .price: '7.1' instead of '7.10'", "fails": ""},
        {"ended": True},
    ]


async def test_signed_cases_come_first_then_still_ones_and_the_market_goes_on_after_them() -> None:
    cases, exchange = Suite(_opens), _Recorded()

    @cases.case("moving", "spot")
    async def moving(client: Any, of: Exchange) -> None:
        exchange.orders.append("moving")

    @cases.case("still", "spot", still=True)
    def still(client: Any, of: Exchange) -> None:
        exchange.orders.append(f"still with {client}")

    @cases.case("signed", "spot", signed=True)
    def signed(client: Any, of: Exchange) -> None:
        exchange.orders.append("signed")

    await _reported(cases, exchange)
    assert exchange.orders == ["signed", "pause", "still with client", "resume", "moving"]


async def test_a_case_that_never_ends_fails_alone() -> None:
    cases = Suite(_opens)

    @cases.case("endless", "spot")
    async def endless(client: Any, exchange: Exchange) -> None:
        await asyncio.Event().wait()

    @cases.case("next", "spot")
    async def following(client: Any, exchange: Exchange) -> None: ...

    rows = await _reported(cases, _Recorded(), case_s=1.0)
    assert [row["reason"] for row in rows[1:3]] == ["nothing within 1 s", ""]


@pytest.mark.parametrize(
    ("got", "wanted", "reason"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, r"\.a\[1\]\.b: 2 instead of 3"),
        ({"a": 1}, {"a": 1, "c": 2}, r"keys \['c'\]"),
        ([1], [1, 2], "1 rows instead of 2"),
    ],
)
def test_the_first_difference_is_named_with_its_place(got: Any, wanted: Any, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        same(got, wanted)


def test_every_outcome_has_its_place_in_the_result() -> None:
    rows: list[dict[str, Any]] = [
        {"cases": ["right", "wrong", "known", "mended", "missing"]},
        {"case": "right", "reason": "", "fails": ""},
        {"case": "wrong", "reason": "7 for 8", "fails": ""},
        {"case": "known", "reason": "nothing", "fails": "a retired stream"},
        {"case": "mended", "reason": "", "fails": "a retired stream"},
    ]
    result = result_of("one", rows, end="it was ended after 9 s")
    assert (result.passed, result.cases) == (2, 5)
    assert result.failed == [("wrong", "7 for 8"), ("missing", "not reached: it was ended after 9 s")]
    assert result.known == [("known", "a retired stream")]
    assert result.surprising == ["mended"]
    assert not result.is_right
    printed = table([result, Result("two", skipped="no node here")])
    assert "2/5" in printed
    for line in ("one: wrong FAILED: 7 for 8", "one: mended passes now", "one: known fails as known: a retired stream"):
        assert line in printed
    assert "two  not run: no node here" in printed


def test_only_known_failures_are_right() -> None:
    rows: list[dict[str, Any]] = [
        {"cases": ["known"]},
        {"case": "known", "reason": "nothing", "fails": "retired"},
        {"ended": True},
    ]
    assert result_of("one", rows, end="").is_right


def test_a_client_that_cannot_be_imported_fails_with_what_it_said() -> None:
    client = Client("one", "ccxt_pro", "spot")
    result = result_of(client.name, [], end="the process ended with 1: ModuleNotFoundError: No module named 'ccxt'")
    assert result.failed == [("start", "the process ended with 1: ModuleNotFoundError: No module named 'ccxt'")]


def test_a_client_without_its_environment_is_skipped(tmp_path: Path) -> None:
    result = run_client(CLIENTS[0], "127.0.0.1:1", tmp_path, environments=tmp_path)
    assert result.skipped == f"no environment {CLIENTS[0].environment} (make conformance)"


def test_a_process_is_ended_after_its_time(tmp_path: Path) -> None:
    fake = tmp_path / "clients" / "bin" / "python"
    fake.parent.mkdir(parents=True)
    fake.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'import time; time.sleep(600)'\n")
    fake.chmod(0o755)
    result = run_client(Client("one", "none", "spot"), "127.0.0.1:1", tmp_path, client_s=0.2, environments=tmp_path)
    assert result.failed == [("start", "it was ended after 0 s")]


def test_every_client_has_its_module_and_its_lock() -> None:
    folder = ROOT / "tests" / "conformance"
    for client in CLIENTS:
        module = client.module if client.environment == "node" else f"{client.module}.py"
        lock = "package-lock.json" if client.environment == "node" else f"{client.environment}.lock"
        assert (folder / "clients" / module).exists()
        assert (folder / "locks" / lock).exists()


def test_what_runs_in_a_client_s_environment_imports_nothing_of_ours() -> None:
    for name in ("child", "suite", "exchange", "checks"):
        spec = importlib.util.find_spec(f"tests.conformance.{name}")
        assert spec is not None
        assert spec.origin is not None
        lines = Path(spec.origin).read_text(encoding="utf-8").splitlines()
        imported = [line.split()[1].partition(".") for line in lines if line.startswith(("import ", "from "))]
        assert all(top in sys.stdlib_module_names or rest.startswith("conformance.") for top, _, rest in imported), name
