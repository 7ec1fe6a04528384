"""The API matches its OpenAPI document: schemathesis sends requests that the document allows, and others."""

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error, unsupported_method
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fakes.examples import examples
from tests.fakes.interface import Deployment, fill, interface

EXAMPLES = examples(5)
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


KNOWN: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "symbols": ["BTCUSDT"],
    "timeframe": "1m",
    "timeframes": ["1m"],
    "venue": "binance",
}
"""Names that exist: at random they would hardly ever be hit."""


@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("kind", ["any names", "known names", "not allowed"])
async def test_no_answer_is_off_its_description(deployment: Deployment, kind: str) -> None:
    fill(deployment)
    deployment.alerts = {"enabled": True}
    async with interface(deployment) as running:
        requested = await asyncio.to_thread(request_everything, running.url, kind)
    assert {
        "GET /api/prices/{symbol}",
        "GET /api/chart/{symbol}/{timeframe}",
        "POST /api/symbols",
        "POST /api/alerts",
    } <= requested


def request_everything(url: str, kind: str) -> set[str]:
    described = schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(path=["/api/balance", "/api/positions"])
    requested = set()
    for found in described.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if kind == "any names" or operation.path_parameters or operation.query or operation.body:
            request_all(operation, kind)
            requested.add(operation.label)
    return requested


def request_all(operation: APIOperation[Any, Any, Any, Any], kind: str) -> None:
    mode = GenerationMode.NEGATIVE if kind == "not allowed" else GenerationMode.POSITIVE
    is_udf = operation.path.startswith("/udf/")  # it says in the body of a 200 that it refuses
    checks = [check for check in CHECKS if not (is_udf and check is negative_data_rejection)]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def one(case: Case[Any]) -> None:
        if kind == "known names":
            for place in (case.path_parameters, case.query, case.body):
                if isinstance(place, dict):
                    place |= {name: KNOWN[name] for name in place if name in KNOWN}
        case.call_and_validate(checks=checks)

    one()
