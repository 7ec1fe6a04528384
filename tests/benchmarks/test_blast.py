"""What the sender writes is what a WebSocket client reads."""

import asyncio
from pathlib import Path

from websockets.asyncio.client import connect

from tests.benchmarks.blast import running_blast, wire_of


async def test_a_client_gets_its_answer_and_then_every_frame_of_every_length(tmp_path: Path) -> None:
    frames = [b"a" * length for length in (1, 125, 126, 65_535, 65_536)]
    wire = tmp_path / "wire"
    wire.write_bytes(wire_of(frames))
    with running_blast(wire) as address:
        for _ in range(2):
            async with asyncio.timeout(20), connect(f"ws://{address}/stream", max_size=None) as client:
                await client.send('{"method":"SUBSCRIBE","params":["x"],"id":7}')
                assert await client.recv(decode=False) == b'{"result": null, "id": 7}'
                assert [await client.recv(decode=False) for _ in frames] == frames
