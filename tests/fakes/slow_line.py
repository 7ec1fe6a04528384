"""A TCP line to a server that can be made slow, so that what the server says arrives late, and that can be cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK = 1 << 16


class SlowLine:
    """Connections to one server. `delay_s` is how late its answers come, from now on."""

    def __init__(self, port: int) -> None:
        self.port = port
        """Where it listens, on 127.0.0.1."""
        self.delay_s = 0.0
        self.writers: set[asyncio.StreamWriter] = set()
        """Of all connections, to both sides."""

    def cut(self) -> int:
        """Cuts all connections, with what is on its way in them; returns how many there were. New ones are accepted."""
        cut, self.writers = self.writers, set()
        for writer in cut:
            writer.transport.abort()
        return len(cut) // 2


@asynccontextmanager
async def slow_line(to_port: int) -> AsyncIterator[SlowLine]:
    """A line to a port of this machine, with no delay at first."""
    connections: set[asyncio.Task[None]] = set()
    ends: list[asyncio.StreamWriter] = []

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        ends.append(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", to_port)
            ends.append(server_writer)
            line.writers |= {writer, server_writer}
            await asyncio.gather(_carry(reader, server_writer), _carry(server_reader, writer, line))
            line.writers -= {writer, server_writer}
        except (OSError, asyncio.CancelledError):  # the end of the line, which asyncio's server would log
            pass
        writer.close()
        connections.discard(task)

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    line = SlowLine(server.sockets[0].getsockname()[1])
    async with server:
        yield line
        for task in connections.copy():
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for end in ends:
            end.transport.abort()
        await asyncio.sleep(0)  # the loop closes them in its next turn


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: SlowLine | None = None) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            if line and line.delay_s:
                await asyncio.sleep(line.delay_s)
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
