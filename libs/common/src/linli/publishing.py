"""Publishing (发布): many messages on their way at once, and one wait until the broker has kept all of them.

`publish_async` of nats-py makes a future, a callback and a random subject for each; a relay waits for batches only,
so a count will do.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError

_LOOK_EVERY: Final = 0.25
"""Seconds between looks whether the connection is still there."""


class NotKept(nats.errors.Error):
    """The broker did not say that it had kept all of a batch."""


class Publisher:
    """Publishes batches on one connection, one after the other."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._inbox = client.new_inbox()
        self._number = 0
        self._waiting: set[str] = set()
        self._told = asyncio.Event()
        self._error: Exception | None = None

    async def start(self) -> "Publisher":
        """Listen for acknowledgements."""
        await self.client.subscribe(f"{self._inbox}.*", cb=self._acknowledged)
        return self

    def begin(self) -> None:
        """Begin a batch: what is still under way of the one before is waited for no longer."""
        self._waiting.clear()
        self._error = None

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> None:
        """Send a message of the batch; it need not have arrived."""
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        self._waiting.add(reply)
        await self.client.publish(subject, payload, reply=reply, headers=dict(headers))

    async def kept(self, within: float) -> None:
        """Wait until the broker has kept all of the batch.

        Args:
            within: seconds to the next acknowledgement, before the rest is given up.

        Raises:
            NotKept: when the connection was lost, or no acknowledgement came for so long.
            APIError: when the broker refused a message.
        """
        clock = asyncio.get_running_loop().time
        heard, left = clock(), len(self._waiting)
        while self._waiting:
            if not self.client.is_connected:
                raise NotKept(f"the connection was lost with {left} unacknowledged")
            self._told.clear()
            try:
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._told.wait()
            except TimeoutError:
                if len(self._waiting) == left and clock() - heard > within:
                    raise NotKept(f"{left} were not acknowledged within {within} s") from None
            if self._error:
                raise self._error
            if len(self._waiting) < left:
                heard, left = clock(), len(self._waiting)

    async def _acknowledged(self, message: Msg) -> None:
        if message.subject not in self._waiting:
            return
        if (message.headers or {}).get(nats.js.api.Header.STATUS):
            self._error = NotKept("nobody keeps this subject: there is no stream for it, or JetStream is off")
        elif b'"error"' in message.data and (error := json.loads(message.data).get("error")):
            self._error = APIError(**error)
        self._waiting.discard(message.subject)
        if self._error or not self._waiting:
            self._told.set()
