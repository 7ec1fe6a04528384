"""A flame graph of collapsed stacks, as SVG: width is time, and what hangs below a function was called by it."""

import hashlib
from collections.abc import Iterable
from html import escape

from msgspec import Struct, field

WIDTH, ROW, MARGIN = 1_200, 20, 10
_LEAST_WIDTH = 1.0
_LETTER = 6.6
_HUES = {"flows/operators": 30, "flows": 10, "sources": 210}
"""By where a function lives; the longest that fits. Others are grey."""
_STYLE = "text{font:11px monospace;fill:#222}rect{stroke:#fff;stroke-width:.5}"


class Frame(Struct):
    """A function, as called by one above it."""

    name: str
    samples: int = 0
    called: dict[str, "Frame"] = field(default_factory=dict)

    def depth(self) -> int:
        """Of what hangs below it, itself included."""
        return 1 + max((frame.depth() for frame in self.called.values()), default=0)


def tree_of(stacks: Iterable[str], *, root: str) -> Frame:
    """Of lines `outer;…;inner samples`: what the function `root` did. Stacks that do not hold it are left out."""
    top = Frame(root)
    for line in stacks:
        stack, _, samples = line.rpartition(" ")
        names = stack.split(";")
        begin = next((place for place, name in enumerate(names) if name.partition(" ")[0] == root), None)
        if begin is None:
            continue
        frame = top
        frame.samples += int(samples)
        for name in names[begin + 1 :]:
            frame = frame.called.setdefault(name, Frame(name))
            frame.samples += int(samples)
    return top


def flame_graph(top: Frame, *, title: str) -> str:
    """The picture. `ValueError` when there are no samples."""
    if not top.samples:
        raise ValueError(f"no samples of {top.name}: does the profiled program call it?")
    boxes: list[str] = []
    _draw(top, MARGIN, 2 * ROW, (WIDTH - 2 * MARGIN) / top.samples, top.samples, boxes)
    height = (top.depth() + 3) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f'<style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{MARGIN}" y="{ROW}">{escape(title)}, {top.samples:,} samples</text>\n'
        + "\n".join(boxes)
        + "\n</svg>\n"
    )


def _draw(frame: Frame, x: float, y: int, scale: float, total: int, boxes: list[str]) -> None:
    width = frame.samples * scale
    if width < _LEAST_WIDTH:
        return
    share = f"{frame.name}: {frame.samples / total:.1%}"
    letters = int((width - 6) / _LETTER)
    name = frame.name.partition(" ")[0]
    shown = name if len(name) <= letters else f"{name[: letters - 1]}…" if letters > 2 else ""
    boxes.append(
        f'<g><title>{escape(share)}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW}" '
        f'fill="{_colour(frame.name)}"/>'
        + (f'<text x="{x + 3:.1f}" y="{y + 14}">{escape(shown)}</text>' if shown else "")
        + "</g>"
    )
    for called in sorted(frame.called.values(), key=lambda one: one.name):
        _draw(called, x, y + ROW, scale, total, boxes)
        x += called.samples * scale


def _colour(name: str) -> str:
    place = name.partition("(")[2]
    room = next((room for room in _HUES if place.startswith(room)), None)
    light = 68 + hashlib.sha256(name.encode()).digest()[0] % 14
    return f"hsl({_HUES[room]} 85% {light}%)" if room else f"hsl(0 0% {light}%)"
