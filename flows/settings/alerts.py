"""Settings of alerts."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

import msgspec
from pydantic import AfterValidator, Field, model_validator

from flows.model.alerts import MOST_RULES, RULE_NAME, AlertRule, fault_of_rule
from flows.model.secret import webhook_key
from flows.names import symbol_of
from flows.settings.section import Section, wrong_value
from flows.settings.values import Folder, HeartbeatUrl, Seconds, SecretText
from flows.texts import refusal_of

_NAME: Final = re.compile(RULE_NAME)


def rule_of(name: str, terms: Any) -> AlertRule:
    """The rule of a name and its terms; `ValueError` says what is wrong."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r:.80} is no name of a rule: write letters, digits, _ and -")
    if not isinstance(terms, Mapping):
        raise ValueError(f'{name}: write a rule as in {{kind = "price_above", symbol = "BTCUSDT", price = 100000}}')  # noqa: TRY004
    if own := {"id", "is_stored"} & terms.keys():
        raise ValueError(f"{name}: a rule has no {min(own)}")
    try:
        rule = msgspec.convert({**terms, "id": name}, AlertRule)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}: {refusal_of(error, AlertRule)}") from None
    rule = msgspec.structs.replace(rule, symbol=symbol_of(rule.symbol)) if rule.symbol else rule
    if fault := fault_of_rule(rule):
        raise ValueError(f"{name}: {fault}")
    return rule


def _rules(rules: dict[str, Any]) -> dict[str, Any]:
    if len(rules) > MOST_RULES:
        raise ValueError(f"there are {len(rules)} rules: write at most {MOST_RULES}")
    for name, terms in rules.items():
        rule_of(name, terms)
    return rules


class Alerts(Section):
    """Alerts: rules about prices and the quality of data, evaluated in the flow."""

    enabled: bool | None = None
    """Evaluate rules, also those that are made at the interface; default: where there are rules here."""
    rules: Annotated[dict[str, dict[str, Any]], AfterValidator(_rules)] = {}  # noqa: RUF012 - pydantic copies it
    """The rules by name, as in `[alerts.rules.high]` with `kind = "price_above"`, `symbol` and `price`; see
    [alerts](alerts.md).
    """
    path: Folder | None = None
    """Directory of what has fired and of what is not delivered yet, of each flow its own; default: `alerts` beside
    `trades.path`.
    """
    webhook_url: HeartbeatUrl | None = None
    """Address that gets every alert by a signed POST; treat it as a secret. Default: none."""
    webhook_secret: SecretText | None = Field(default=None, repr=False)
    """The key of the signatures: `whsec_` and base64; best in a file that `MARKETFLOW_ALERTS__WEBHOOK_SECRET_FILE`
    names.
    """
    fresh_s: Seconds = 5.0
    """Trades that are older than this, by the venue's time, make no rule fire."""

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        if self.webhook_secret is not None:
            try:
                webhook_key(self.webhook_secret)
            except ValueError as error:
                raise wrong_value("webhook_secret", str(error)) from None
        elif self.webhook_url is not None:
            raise wrong_value("webhook_url", "it needs webhook_secret: what is not signed could come from anyone")
        return self

    @property
    def is_on(self) -> bool:
        """Whether rules are evaluated."""
        return bool(self.rules) if self.enabled is None else self.enabled

    @property
    def own_rules(self) -> tuple[AlertRule, ...]:
        """The rules of the settings."""
        return tuple(rule_of(name, terms) for name, terms in self.rules.items())
