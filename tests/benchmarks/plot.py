"""A plot of latency against rate, as SVG: both axes logarithmic, in the words of the table."""

import math
from collections.abc import Mapping, Sequence

from tests.benchmarks.latency import Latency

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 40, 60
_STEPS = (1, 2, 5)
_STYLE = (
    "text{font:13px sans-serif;fill:#333}.grid{stroke:#ddd}.line{fill:none;stroke-width:2}"
    ".p50{stroke:#1f6fb4}.p99{stroke:#d9661f}.noise{stroke:#999;stroke-dasharray:4 4}"
    ".goal{fill:none;stroke:#1f6fb4;stroke-width:1.5}"
)


class _Scale:
    """A logarithmic axis."""

    def __init__(self, least: float, most: float, begin: float, end: float) -> None:
        self._least, self._most = math.log10(least), math.log10(most)
        self._begin, self._end = begin, end

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self._least) / (self._most - self._least)
        return round(self._begin + share * (self._end - self._begin), 1)


def latency_plot(measured: Mapping[int, Latency], goals_ms: Mapping[int, float]) -> str:
    """Median, 99th percentile and the machine's own timer noise by trades a second; `goals_ms` are of the median."""
    lines = {
        "p50": [(rate, latency.p50) for rate, latency in measured.items()],
        "p99": [(rate, latency.p99) for rate, latency in measured.items()],
        "noise": [(rate, latency.noise_p99) for rate, latency in measured.items()],
    }
    named = {"p50": "p50", "p99": "p99", "noise": "timer noise p99"}
    values = [value for points in lines.values() for _, value in points] + list(goals_ms.values())
    x = _Scale(min(measured), max(measured), LEFT, WIDTH - RIGHT)
    least, most = _around(values)
    y = _Scale(least, most, HEIGHT - BOTTOM, TOP)
    parts = [_grid(sorted({*measured, *goals_ms}), _ticks(least, most), x, y)]
    for name, points in lines.items():
        rate, last = points[-1]
        parts.append(_line(name, [(x(rate), y(value)) for rate, value in points]))
        parts.append(_text(x(rate) + 12, y(last) + 4, f"{named[name]} {last:.1f} ms"))
    parts += [_goal(x(rate), y(goal)) for rate, goal in goals_ms.items()]
    title = _text(LEFT, 20, "exchange ▶ client, ms; rings are the goals of p50")
    below = _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 15, "trades a second", anchor="middle")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>\n{title}\n{below}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _around(values: Sequence[float]) -> tuple[float, float]:
    """The nearest ticks below and above."""
    ticks = [step * 10.0**power for power in range(-3, 6) for step in _STEPS]
    return max(tick for tick in ticks if tick < min(values)), min(tick for tick in ticks if tick > max(values))


def _ticks(least: float, most: float) -> list[float]:
    ticks = [step * 10.0**power for power in range(-3, 6) for step in _STEPS]
    return [tick for tick in ticks if least <= tick <= most]


def _grid(rates: Sequence[int], ticks: Sequence[float], x: _Scale, y: _Scale) -> str:
    across = [
        f'<path class="grid" d="M{LEFT} {y(tick)}H{WIDTH - RIGHT}"/>'
        + _text(LEFT - 10, y(tick) + 4, f"{tick:g}", anchor="end")
        for tick in ticks
    ]
    up = [
        f'<path class="grid" d="M{x(rate)} {TOP}V{HEIGHT - BOTTOM}"/>'
        + _text(x(rate), HEIGHT - BOTTOM + 20, f"{rate:,}", anchor="middle")
        for rate in rates
    ]
    return "\n".join(across + up)


def _line(name: str, points: Sequence[tuple[float, float]]) -> str:
    return f'<polyline class="line {name}" points="{" ".join(f"{x},{y}" for x, y in points)}"/>'


def _goal(x: float, y: float) -> str:
    return f'<circle class="goal" cx="{x}" cy="{y}" r="6"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'
