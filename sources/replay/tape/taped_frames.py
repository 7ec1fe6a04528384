"""A frame as the line of a tape, and back: it is one line, whatever it holds, and no line of another kind."""

from base64 import b64decode, b64encode

from sources.frames import message_in

_OWN = b'{"rest":', b'{"account":', b'{"frame":'
"""Begins of lines that are no frames as they were received."""
_BEGIN, _END = b'{"frame":"', b'"}'


def taped(frame: bytes) -> bytes:
    """The line of a frame, without a line end: the frame itself, where that is possible. An object of several lines is
    put into one; anything else is wrapped, and no message when the tape is played.
    """
    if frame and b"\n" not in frame and not frame.startswith(_OWN):
        return frame
    if not frame.startswith(_OWN) and message_in(frame) is not None:
        return frame.replace(b"\n", b" ")  # in JSON no text holds a line end
    return _BEGIN + b64encode(frame) + _END


def frame_in(line: bytes) -> bytes | None:
    """The frame of a line; None where it is none. `ValueError` where it cannot be read."""
    if not line.startswith(_OWN):
        return line
    return b64decode(line[len(_BEGIN) : -len(_END)], validate=True) if line.startswith(_BEGIN) else None
