"""A load generator that costs little: plain HTTP/1.1 over connections that are kept."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

_ANSWER_WITHIN = 10.0


@dataclass
class Load:
    """What a load came to.

    Attributes:
        seconds: how long it lasted.
        statuses: how often each status was answered.
        took: seconds of each request.
    """

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests a second.

        Raises:
            ValueError: when any request failed, whose time would be no measure.
        """
        if set(self.statuses) - {200, 201}:
            raise ValueError(f"not all requests succeeded: {self.statuses}")
        return len(self.took) / self.seconds


class Connection(asyncio.Protocol):
    """A connection that asks one thing after the other.

    Attributes:
        location: the `Location` of the last answer that had one.
    """

    def __init__(self) -> None:
        self._answered: asyncio.Future[int] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.location = ""

    @classmethod
    async def to(cls, port: int) -> "Connection":
        """Connect to a port of the loopback interface."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Read an answer's part."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what was asked."""
        if self._answered and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep where something was made."""
        if name.lower() == b"location":
            self.location = value.decode()

    def on_message_complete(self) -> None:
        """Give the answer's status to who asked."""
        answered, status = self._answered, self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        if answered and not answered.done():
            answered.set_result(status)

    async def ask(self, request: bytes) -> int:
        """Ask, and give the answer's status."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(_ANSWER_WITHIN):
            return await self._answered

    def close(self) -> None:
        """Ask nothing more."""
        if self._transport:
            self._transport.close()


def request(method: str, path: str, token: str = "", body: bytes = b"", **headers: str) -> bytes:
    """Write a request; a header's name is written with underscores."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    if body:
        lines.append("Content-Type: application/json")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def load(port: int, requests: Callable[[], bytes], *, seconds: float, connections: int = 32) -> Load:
    """Ask as fast as answers come.

    Args:
        port: of the loopback interface.
        requests: gives the next request.
        seconds: how long.
        connections: at the same time.
    """
    found = Load()
    until = time.perf_counter() + seconds

    async def one() -> None:
        connection = await Connection.to(port)
        try:
            while (began := time.perf_counter()) < until:
                status = await connection.ask(requests())
                found.took.append(time.perf_counter() - began)
                found.statuses[status] = found.statuses.get(status, 0) + 1
        finally:
            connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    found.seconds = time.perf_counter() - began
    return found
