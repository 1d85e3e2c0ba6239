"""Pulling (拉取): what a durable consumer has, as soon as it comes.

`fetch(n)` of nats-py waits at times for its end although a message is there: a request that ran out on the client
lives on at the broker and takes the message that the next request waits for (nats-io/nats.py#933). Here requests
overlap on purpose, all answers come to one inbox, and the broker says how much of a request it did not fill.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

_ASK_FOR: Final = 2.0
"""Seconds that the broker keeps a request."""
_LATE: Final = 0.5
"""Seconds after which a request is lost that the broker has not said anything about: it was started anew."""
_NANOSECONDS: Final = 10**9


class Refused(nats.errors.Error):
    """The broker can't serve the consumer just now; it says why."""


class Pull:
    """Asks for one durable consumer's messages, and never for more than its caller has room for."""

    def __init__(self, client: Client, stream: str, durable: str) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = client.new_inbox()
        self._came: deque[Msg] = deque()
        self._woken = asyncio.Event()
        self._asked = 0
        self._asked_until = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Pull"]:
        """Take what comes while the block runs; what nobody took by then comes to another at once."""

        async def keep(message: Msg) -> None:
            self._came.append(message)
            self._woken.set()

        subscription = await self._client.subscribe(self._inbox, cb=keep)
        try:
            yield self
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
                for message in self._came:
                    if not _status(message):
                        await message.nak()

    async def next(self, room: int) -> list[Msg]:
        """Give what has come, waiting for the first message if need be.

        Args:
            room: how many messages the caller can take, at least 1.

        Returns:
            At most `room` messages, none when there were none for about 2 seconds.

        Raises:
            Refused: when the broker or the consumer is not there.
        """
        now = asyncio.get_running_loop().time()
        if now > self._asked_until + _LATE:
            self._asked = 0
        if not self._came:
            await self._ask(room)
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._asked_until + _LATE):
                    await self._woken.wait()
        messages: list[Msg] = []
        while self._came and len(messages) < room:
            message = self._came.popleft()
            if _status(message):
                self._unfilled(message)
            else:
                self._asked = max(0, self._asked - 1)
                messages.append(message)
        return messages

    async def _ask(self, room: int) -> None:
        """Ask for what there is room for, once that is worth a request."""
        wanted = room - self._asked
        if self._asked and wanted < room / 2:
            return
        request = {"batch": wanted, "expires": int(_ASK_FOR * _NANOSECONDS)}
        await self._client.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)
        self._asked += wanted
        self._asked_until = asyncio.get_running_loop().time() + _ASK_FOR

    def _unfilled(self, message: Msg) -> None:
        """Note that a request has run out.

        Raises:
            Refused: when it ended otherwise.
        """
        headers = message.headers or {}
        if _status(message) != nats.js.api.StatusCode.REQUEST_TIMEOUT:
            raise Refused(f"{_status(message)} {headers.get(nats.js.api.Header.DESCRIPTION, '')}")
        self._asked = max(0, self._asked - int(headers.get("Nats-Pending-Messages", self._asked)))


def _status(message: Msg) -> str | None:
    return (message.headers or {}).get(nats.js.api.Header.STATUS)
