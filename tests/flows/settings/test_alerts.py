"""The section of alerts: rules by name, and a webhook that is signed."""

from pathlib import Path
from typing import Any

import pytest

from flows.command.settings_file import shown
from flows.model.alerts import MOST_RULES, AlertRule
from flows.settings import Settings, SettingsError, load_settings
from tests.fakes.alerts import SECRET

FILE = """
[alerts]
webhook_url = "https://example.com/hook"
webhook_secret = "{}"

[alerts.rules.high]
kind = "price_above"
symbol = "btc/usdt"
price = 100000

[alerts.rules.quiet]
kind = "silence"
for_s = 30
rearm = "on_return"
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_rules_of_the_file_put_alerts_on(tmp_path: Path) -> None:
    assert not load_settings().alerts.is_on
    (tmp_path / "marketflow.toml").write_text(FILE.format(SECRET))
    alerts = load_settings().alerts
    assert alerts.is_on
    assert alerts.own_rules == (
        AlertRule("high", "price_above", symbol="BTC-USDT", price=100_000),
        AlertRule("quiet", "silence", for_s=30, rearm="on_return"),
    )
    assert not load_settings(alerts={"enabled": False}).alerts.is_on


def test_rules_of_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_ALERTS__RULES", '{"gaps": {"kind": "gap", "rearm": "after", "rearm_s": 60}}')
    assert load_settings().alerts.own_rules == (AlertRule("gaps", "gap", rearm="after", rearm_s=60),)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"a b": {"kind": "gap"}}, "no name of a rule"),
        ({"x": {"kind": "gap", "venue": "nowhere"}}, "x: no venue nowhere is followed; there are binance"),
        ({"x": {"kind": "gaps"}}, "x: Invalid enum value 'gaps'"),
        ({"x": {"kind": "gap", "colour": 1}}, "colour"),
        ({"x": {"kind": "gap", "id": "y"}}, "x: a rule has no id"),
        ({"x": {"kind": "gap", "is_stored": True}}, "x: a rule has no is_stored"),
        ({"x": {"kind": "price_above", "symbol": "BTCUSDT"}}, "x: price: price_above needs it"),
        ({"x": {"kind": "price_above", "symbol": "a b", "price": 1}}, "is no symbol"),
        ({"x": {"kind": "price_above", "symbol": "A", "price": "high"}}, "x: Expected `float"),
        ({"x": {"kind": "price_above", "symbol": "A", "price": float("inf")}}, "x: price: write a number"),
        ({"x": {"kind": "unsynced", "for_s": -1}}, "x: for_s: write a number of at least 0"),
        ({"x": {"kind": "price_change", "percent": 1, "span_s": 86_401}}, "x: span_s: write a number above 0"),
        ({"x": {"kind": "price_change", "percent": 1, "span_s": 0.0001}}, "x: span_s: write at least 0.001"),
        (
            {"x": {"kind": "price_change", "percent": 200, "span_s": 60, "direction": "down"}},
            "x: percent: no price falls by more than 100",
        ),
        ({str(number): {"kind": "gap"} for number in range(MOST_RULES + 1)}, f"write at most {MOST_RULES}"),
    ],
)
def test_what_cannot_be_a_rule_is_named(rules: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=r"alerts\.rules") as error:
        load_settings(alerts={"rules": rules})
    assert says in str(error.value)


def test_a_webhook_needs_a_secret_that_is_one_and_nothing_shows_it() -> None:
    with pytest.raises(SettingsError, match=r"alerts\.webhook_url: it needs webhook_secret"):
        load_settings(alerts={"webhook_url": "https://example.com/hook"})
    with pytest.raises(SettingsError, match=r"alerts\.webhook_secret: write whsec_") as error:
        load_settings(alerts={"webhook_url": "https://example.com/hook", "webhook_secret": "hunter2"})
    assert "hunter2" not in str(error.value)
    with pytest.raises(SettingsError, match=r"alerts\.webhook_url"):
        load_settings(alerts={"webhook_url": "ftp://example.com", "webhook_secret": SECRET})
    settings: Settings = load_settings(
        alerts={"webhook_url": "https://example.com/hook?key=a1", "webhook_secret": SECRET}
    )
    assert SECRET not in repr(settings)
    assert shown("webhook_secret", settings.alerts.webhook_secret) == "***"
    assert shown("webhook_url", settings.alerts.webhook_url) == "https://example.com/hook?key=***"


def test_the_outbox_is_beside_the_trades_unless_it_has_a_place() -> None:
    assert load_settings(trades={"path": "data/demo/trades"}).alerts_path == Path("data/demo/alerts")
    assert load_settings(alerts={"path": "elsewhere"}).alerts_path == Path("elsewhere")
