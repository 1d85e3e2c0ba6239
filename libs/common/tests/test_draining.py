"""What becomes of requests that are on their way while a service stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from fastapi import FastAPI

from linli.testing import eventually

app = FastAPI()
ASKED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@app.post("/")
async def answer() -> dict[str, str]:
    await asyncio.sleep(0.2)
    return {}


class Connection:
    """A connection that the gateway keeps."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self) -> None:
        self.writer.write(ASKED)

    async def answer(self) -> tuple[bytes, bool]:
        """Give the status, and whether this was the last answer."""
        async with asyncio.timeout(20):
            head = await self._reader.readuntil(b"\r\n\r\n")
            assert await self._reader.readexactly(2) == b"{}"
        return head.split()[1], b"connection: close" in head.lower()

    async def ended(self) -> bool:
        async with asyncio.timeout(20):
            return not await self._reader.read(1)


@asynccontextmanager
async def serving() -> AsyncIterator[uvicorn.Server]:
    http = "linli.draining:DrainingProtocol"
    config = uvicorn.Config(app, port=0, http=http, log_config=None, timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    serve = asyncio.create_task(server._serve())
    await eventually(lambda: server.started)
    try:
        yield server
    finally:
        server.should_exit = True
        await serve


@asynccontextmanager
async def connected(server: uvicorn.Server) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def stopping(server: uvicorn.Server) -> None:
    """Have the service stop, and return when it has told its connections."""
    server.should_exit = True
    await eventually(lambda: not server.servers[0].is_serving())


@pytest.mark.parametrize("used", [False, True], ids=["on a new connection", "on one that was used"])
async def test_a_request_sent_as_the_service_stops_is_answered_and_is_the_last(*, used: bool) -> None:
    async with serving() as server, connected(server) as connection:
        await eventually(lambda: server.server_state.connections)
        if used:
            connection.send()
            assert await connection.answer() == (b"200", False)
        await stopping(server)
        connection.send()
        assert await connection.answer() == (b"200", True)
        assert await connection.ended()


async def test_a_request_that_is_being_answered_as_the_service_stops_is_the_last() -> None:
    async with serving() as server, connected(server) as connection:
        connection.send()
        await eventually(lambda: server.server_state.tasks)
        await stopping(server)
        assert await connection.answer() == (b"200", True)
        assert await connection.ended()


async def test_a_connection_on_which_nothing_is_asked_does_not_keep_the_service() -> None:
    async with serving() as server, connected(server) as connection:
        connection.send()
        await connection.answer()
        await stopping(server)
        assert await connection.ended()
        await eventually(lambda: not server.server_state.connections, within=5)
