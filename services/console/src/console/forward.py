"""Passing telemetry on to where a district has a collector of its own (转发), as it came, when it can be had."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

import httpx

log = logging.getLogger(__name__)

_QUEUE: Final = 16 * 2**20
_WITHIN: Final = 5.0
_PAUSE: Final = 1.0
_SAY_EVERY: Final = 60.0


class Export(NamedTuple):
    """A request as it came."""

    signal: str
    body: bytes
    coding: str


class Forwarder:
    """Sends one after the other; what does not fit into its queue, or is not taken, is dropped."""

    def __init__(self, address: str | None) -> None:
        self._address = address and address.rstrip("/")
        self._waiting: deque[Export] = deque()
        self._bytes = 0
        self._woken = asyncio.Event()
        self._say_at = 0.0

    def take(self, export: Export) -> None:
        """Queue a request, if there is somebody to send it to and room."""
        if self._address and self._bytes + len(export.body) <= _QUEUE:
            self._waiting.append(export)
            self._bytes += len(export.body)
            self._woken.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Forward while the block runs."""
        task = asyncio.create_task(self._run(), name="forwarder")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=_WITHIN, trust_env=False) as client:
            while True:
                while not self._waiting:
                    self._woken.clear()
                    await self._woken.wait()
                export = self._waiting.popleft()
                self._bytes -= len(export.body)
                await self._send(client, export)

    async def _send(self, client: httpx.AsyncClient, export: Export) -> None:
        headers = {"Content-Type": "application/x-protobuf"}
        if export.coding != "identity":
            headers["Content-Encoding"] = export.coding
        try:
            answer = await client.post(f"{self._address}/v1/{export.signal}", content=export.body, headers=headers)
            answer.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if time.monotonic() >= self._say_at:
                log.warning("telemetry can't be passed on to %s: %s", self._address, type(error).__name__)
                self._say_at = time.monotonic() + _SAY_EVERY
            await asyncio.sleep(_PAUSE)
