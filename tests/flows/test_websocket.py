import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from flows.websocket import BINARY, TEXT, encode_frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_another_implementation_reads_the_frame(size: int, opcode: int) -> None:
    payload = b"x" * size
    reader = StreamReader()
    reader.feed_data(encode_frame(payload, opcode))
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    assert done.value.value == Frame(Opcode(opcode), payload)
    reader.feed_eof()
    next(reader.read_to_eof(1), None)
