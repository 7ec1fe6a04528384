"""When silence is an alarm. Pure: the time is an argument, in seconds of a steady clock."""

from typing import Literal, TypeAlias

Change: TypeAlias = Literal["alarm", "repeat", "clear"]
"""`alarm`: the silence began. `repeat`: it lasts. `clear`: it is over."""


class DeadMan:
    """Alarms when no sign of life came for `after_s`, also when none ever came; repeats that every `repeat_s`."""

    def __init__(self, *, after_s: float, repeat_s: float, now_s: float) -> None:
        """`now_s` is the start: the first sign is due `after_s` later."""
        self._after_s = after_s
        self._repeat_s = repeat_s
        self._last_s = now_s
        self._alarmed_s: float | None = None

    @property
    def is_alarmed(self) -> bool:
        """Whether the last that was said is an alarm."""
        return self._alarmed_s is not None

    def silent_s(self, now_s: float) -> float:
        """Time since the last sign of life, or since the start."""
        return max(0.0, now_s - self._last_s)

    def due_s(self) -> float:
        """When `on_time` is to be called next, unless a sign comes before."""
        return self._last_s + self._after_s if self._alarmed_s is None else self._alarmed_s + self._repeat_s

    def on_sign(self, now_s: float) -> Change | None:
        """A sign of life came."""
        self._last_s = now_s
        if self._alarmed_s is None:
            return None
        self._alarmed_s = None
        return "clear"

    def on_time(self, now_s: float) -> Change | None:
        """Time has passed."""
        if now_s < self.due_s():
            return None
        change: Change = "alarm" if self._alarmed_s is None else "repeat"
        self._alarmed_s = now_s
        return change
