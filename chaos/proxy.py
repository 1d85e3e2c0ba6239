"""A door between two parts that can be shut: a TCP proxy that refuses, hangs, or drops what is connected."""

import asyncio
from contextlib import suppress
from enum import StrEnum

_CHUNK = 65_536
_DROP_EVERY = 0.3


class Cut(StrEnum):
    """How a connection fails."""

    REFUSE = "refuse"
    """What is connected is reset, and nobody gets in."""
    HANG = "hang"
    """What is connected stays so, everybody gets in, and nothing comes through."""
    DROP = "drop"
    """Everybody gets in, and is reset a moment later."""


class Proxy:
    """Passes on what comes to a port of the loopback interface."""

    def __init__(self, port: int, to: int) -> None:
        self.port = port
        self._to = to
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._dropping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Let everything through."""
        if self._dropping:
            self._dropping.cancel()
            self._dropping = None
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def cut(self, how: Cut) -> None:
        """Let nothing through, until it is opened again."""
        if how is Cut.HANG:
            self._passing.clear()
        elif how is Cut.DROP:
            self._dropping = asyncio.create_task(self._drop())
        else:
            self.close()

    def close(self) -> None:
        """Reset what is connected, and let nobody in."""
        if self._server:
            self._server.close()
            self._server = None
        self._reset()

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _drop(self) -> None:
        while True:
            self._reset()
            await asyncio.sleep(_DROP_EVERY)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._writers |= ends
        with suppress(OSError):
            await self._passing.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            ends.add(back)
            self._writers.add(back)
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        self._writers -= ends
        for one in ends:
            one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
