import asyncio

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from flows.websocket import BINARY, GOING_AWAY, TEXT, encode_frame, leaving


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


class Connection:
    """A connection that remembers with which codes it was closed."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    async def close(self, code: int = 1000, reason: str = "") -> None:
        assert not reason
        self.codes.append(code)


@pytest.mark.parametrize(
    ("error", "codes"), [(asyncio.CancelledError, [GOING_AWAY]), (BrokenPipeError, [GOING_AWAY]), (ValueError, [])]
)
async def test_a_client_that_is_cancelled_goes_away(error: type[BaseException], codes: list[int]) -> None:
    connection = Connection()
    with pytest.raises(error):
        async with leaving(connection):
            raise error
    assert connection.codes == codes
    async with leaving(connection):
        pass
    assert connection.codes == codes
