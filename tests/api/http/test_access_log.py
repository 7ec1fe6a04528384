from typing import Any

from structlog.testing import capture_logs

from api.http.access_log import AccessLog


def answer(log: AccessLog, status: int, seconds: float, path: str = "/api/prices") -> None:
    log.on_answer(method="GET", path=path, status=status, seconds=seconds, request_id="one")


def test_each_answer_is_a_line_for_debugging_and_all_of_them_are_one_line() -> None:
    log = AccessLog()
    with capture_logs() as lines:
        for seconds in (0.001, 0.0025):
            answer(log, 200, seconds)
        answer(log, 404, 0.5, "/api/chart/NONE/1m")
        log.log_summary()
        log.log_summary()  # nothing was answered since
    expected: list[Any] = [
        ("debug", "request_answered", "/api/prices"),
        ("debug", "request_answered", "/api/prices"),
        ("debug", "request_answered", "/api/chart/NONE/1m"),
    ]
    assert [(line["log_level"], line["event"], line["path"]) for line in lines[:-1]] == expected
    assert lines[-1] == {
        "log_level": "info",
        "event": "requests_answered",
        "2xx": 2,
        "4xx": 1,
        "slowest_ms": 500.0,
        "slowest_path": "/api/chart/NONE/1m",
    }


def test_a_summary_begins_anew() -> None:
    log = AccessLog()
    with capture_logs() as lines:
        answer(log, 503, 1.0)
        log.log_summary()
        answer(log, 200, 0.25)
        log.log_summary()
    summaries = [line for line in lines if line["event"] == "requests_answered"]
    assert [(line.get("2xx"), line.get("5xx"), line["slowest_ms"]) for line in summaries] == [
        (None, 1, 1_000.0),
        (1, None, 250.0),
    ]
