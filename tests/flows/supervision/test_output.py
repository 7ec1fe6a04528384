"""Lines of many processes in one stream."""

import os

from flows.supervision.output import LONGEST_LINE, MOST_WAITING, Lines, Output, prefixes


def test_bytes_become_lines() -> None:
    lines = Lines()
    assert lines.feed(b"one\ntw") == [b"one"]
    assert lines.feed(b"o\n\nthree") == [b"two", b""]
    assert lines.end() == [b"three"]
    assert lines.end() == []


def test_a_long_line_is_broken() -> None:
    lines = Lines()
    assert lines.feed(b"x" * (2 * LONGEST_LINE + 1)) == [b"x" * LONGEST_LINE] * 2
    assert lines.end() == [b"x"]


def test_names_have_one_width_and_colours_on_a_terminal() -> None:
    assert prefixes(["flow", "a-longer-name"], colour=False) == {
        "flow": b"flow          | ",
        "a-longer-name": b"a-longer-name | ",
        "marketflow": b"marketflow    | ",
    }
    assert prefixes(["flow"], colour=True)["flow"] == b"\x1b[36mflow       | \x1b[0m"


def test_what_is_not_taken_is_left_out_and_counted() -> None:
    reader, writer = os.pipe()
    output = Output(writer, ["flow"], colour=False)
    for _ in range(MOST_WAITING // 1_000 + 100):
        output.put("flow", b"x" * 1_000)
    read = b""
    while output.has_waiting:
        output.write()
        read += os.read(reader, 65_536)
    output.put("flow", b"on")
    output.write()
    read += os.read(reader, 65_536)
    lines = read.splitlines()
    left_out = int(lines[-2].split()[2])
    assert lines[-2] == f"marketflow | {left_out:,} lines were left out, since nothing took the output".encode()
    assert lines[-1] == b"flow       | on"
    assert len(lines) - 2 + left_out == MOST_WAITING // 1_000 + 100
    assert left_out > 0
    os.close(reader)
    os.close(writer)


def test_a_reader_that_has_gone_is_noticed_with_and_without_something_to_write() -> None:
    for text in ([], [b"text"]):
        reader, writer = os.pipe()
        output = Output(writer, ["flow"], colour=False)
        for line in text:
            output.put("flow", line)
        output.look()
        assert not output.is_lost
        os.close(reader)
        output.write() if text else output.look()
        assert output.is_lost
        assert not output.has_waiting
        os.write(writer, b"what is left in a buffer")  # leads nowhere
        os.close(writer)
