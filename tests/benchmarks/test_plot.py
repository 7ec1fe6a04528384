"""The picture says what was measured."""

import re
from xml.etree import ElementTree as ET

from tests.benchmarks.latency import Latency
from tests.benchmarks.plot import latency_plot

SVG = "{http://www.w3.org/2000/svg}"


def test_every_line_ends_with_its_figure_and_higher_latency_stands_higher() -> None:
    measured = {100: Latency(1.0, 10.0, 0.5), 1_000: Latency(2.0, 20.0, 0.5), 10_000: Latency(4.0, 40.0, 0.7)}
    picture = ET.fromstring(latency_plot(measured, {100: 2, 10_000: 8}))
    said = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"p50 4.0 ms", "p99 40.0 ms", "timer noise p99 0.7 ms", "100", "1,000", "10,000"} <= set(said)
    heights = {
        line.attrib["class"]: [float(y) for y in re.findall(r",([\d.]+)", line.attrib["points"])]
        for line in picture.iter(f"{SVG}polyline")
    }
    assert heights["line p50"] == sorted(heights["line p50"], reverse=True)
    assert all(low > high for low, high in zip(heights["line p50"], heights["line p99"], strict=True))
    assert len(list(picture.iter(f"{SVG}circle"))) == 2
