"""Rules, routes and boards: the tools of Prometheus read them, and they fit each other, the metrics and the runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import boards
from tests.marked import DOCS, ROOT

FOLDER = ROOT / "deploy" / "observation"
RULES = FOLDER / "prometheus" / "rules.yml"
RULE_TESTS = FOLDER / "prometheus" / "rules_test.yml"
CONFIG = FOLDER / "prometheus" / "prometheus.yml"
ROUTES = FOLDER / "alertmanager" / "alertmanager.yml"
RUNBOOK = DOCS / "runbook.md"


def tool(name: str, *arguments: object) -> str:
    """What a tool of Prometheus says; it must succeed. The test is skipped where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: the packages prometheus and prometheus-alertmanager of Debian have it")
    ran = subprocess.run([path, *map(str, arguments)], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def alerts() -> dict[str, Any]:
    """Every rule by the name of its alert."""
    return {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    tool("promtool", "check", "config", CONFIG)


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    assert "SUCCESS" in tool("promtool", "test", "rules", RULE_TESTS)


def test_every_alert_is_tested_before_while_and_after_it_fires() -> None:
    tests = {test["name"]: test["promql_expr_test"] for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]}
    assert tests.keys() == alerts().keys()
    for name, cases in tests.items():
        expected = [True, True] if name == "Watchdog" else [False, True, False]
        assert [bool(case["exp_samples"]) for case in cases] == expected, name
        assert {case["expr"] for case in cases} == {f'ALERTS{{alertname="{name}", alertstate="firing"}}'}


def test_every_alert_says_what_it_is_and_where_to_read_on() -> None:
    for name, rule in alerts().items():
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, name
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        assert rule["labels"]["severity"] == ("none" if name == "Watchdog" else rule["labels"]["severity"])
        assert rule["labels"]["severity"] in ("critical", "warning", "none")
        assert name == "Watchdog" or "for" in rule, name


def test_alerts_on_lines_and_data_name_their_venue_and_are_labelled_with_it() -> None:
    groups = {group["name"]: group["rules"] for group in yaml.safe_load(RULES.read_text())["groups"]}
    tests = {test["name"]: test["promql_expr_test"] for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]}
    for rule in groups["lines"] + groups["data"]:
        assert "$labels.venue" in rule["annotations"]["summary"] + rule["annotations"]["description"], rule["alert"]
        fired = [sample["labels"] for case in tests[rule["alert"]] for sample in case["exp_samples"]]
        assert all('venue="binance"' in labels for labels in fired), rule["alert"]


def test_the_runbook_has_every_alert_and_no_other() -> None:
    assert sorted(re.findall(r"^### (.+)$", RUNBOOK.read_text(), re.MULTILINE)) == sorted(alerts())


@pytest.mark.parametrize(
    ("receiver", "labels"),
    [
        ("critical", ("alertname=LineDown", "severity=critical")),
        ("warning", ("alertname=GapOpen", "severity=warning")),
        ("watchdog", ("alertname=Watchdog", "severity=none")),
        ("warning", ("alertname=SomethingNew",)),
    ],
)
def test_an_alert_goes_where_its_severity_says(receiver: str, labels: tuple[str, ...]) -> None:
    tool("amtool", "check-config", ROUTES)
    tool("amtool", "config", "routes", "test", f"--config.file={ROUTES}", f"--verify.receivers={receiver}", *labels)


def test_what_is_inhibited_exists_and_shares_the_labels() -> None:
    """A label that both lack counts as equal, so one of a wrong name would inhibit too much."""
    known = alerts()
    metrics = {"market_data_line_up": {"venue", "line"}, "market_data_store_up": {"store"}}
    for rule in yaml.safe_load(ROUTES.read_text())["inhibit_rules"]:
        [source], [target] = rule["source_matchers"], rule["target_matchers"]
        names = [re.findall(r"\w+", matcher.partition('"')[2]) for matcher in (source, target)]
        assert {*names[0], *names[1]} <= known.keys()
        [expression] = [known[name]["expr"] for name in names[0]]
        assert set(rule.get("equal", ())) <= metrics.get(expression.split()[0], set())
    assert "InstrumentSilent" in ROUTES.read_text()


def test_the_boards_are_current() -> None:
    written = {path.name: path.read_text() for path in boards.FOLDER.glob("*.json")}
    assert written == boards.boards(), "run `make picture`"


def test_prometheus_can_read_every_expression_of_the_boards(tmp_path: Path) -> None:
    rules = [{"record": f"board:expression:{number}", "expr": text} for number, text in enumerate(boards.expressions())]
    file = tmp_path / "boards.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    assert f"{len(rules)} rules found" in tool("promtool", "check", "rules", file)
