"""When a rule fires: once for each arming, however its input is cut into batches. Pure.

Armed, a rule fires with the first observation for which it holds. Then it is armed again as its `rearm` says: with the
first observation for which it does not hold, with the first one that is late enough, or never.
"""

from typing import Final

from flows.model.alerts import AlertRule, LastAlert

_SECOND_MS: Final = 1_000


class Trigger:
    """The armings of one rule at one instrument, counted from its first alert on."""

    def __init__(self, rule: AlertRule, since: int, number: int = 0, fired_at: int | None = None) -> None:
        """`fired_at` is the venue's time of the newest alert, ms UTC, where the rule has fired and is not armed
        again.
        """
        self.rule = rule
        self.since = since
        self.number = number
        self.fired_at = fired_at

    def adopt(self, last: LastAlert | None) -> None:
        """Takes what is known to have fired: an alert that went out after this state was kept does not go out again."""
        if last is not None and last.since == self.since and last.number > self.number:
            self.number, self.fired_at = last.number, last.time

    def rearm(self, time: int, *, holds: bool) -> bool:
        """An observation of that venue time; True when the rule is armed by it. What fired before the venue's time was
        known counts as of the first time that is.
        """
        if self.fired_at == 0:
            self.fired_at = time
        if self.fired_at is None or not self._is_over(self.fired_at, time, holds=holds):
            return False
        self.fired_at = None
        return True

    def fire(self, time: int, *, holds: bool) -> bool:
        """The same observation; True when the rule fires."""
        if self.fired_at is not None or not holds:
            return False
        self.number += 1
        self.fired_at = time
        return True

    def rearm_in(self, time: int) -> int | None:
        """Milliseconds of the venue's time until time alone arms it; 0 while it is armed, None where that does not."""
        if self.fired_at is None:
            return 0
        return max(0, self.fired_at + self._rearm_ms - time) if self.rule.rearm == "after" else None

    @property
    def _rearm_ms(self) -> int:
        return int((self.rule.rearm_s or 0.0) * _SECOND_MS)

    def _is_over(self, fired_at: int, time: int, *, holds: bool) -> bool:
        match self.rule.rearm:
            case "on_return":
                return not holds
            case "after":
                return time >= fired_at + self._rearm_ms
            case _:
                return False
