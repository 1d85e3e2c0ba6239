"""A connection to NATS (消息代理): waits for a broker that is not there yet, and comes back whatever happened to it."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from linli.settings import Settings

log = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds to wait for the broker before saying that it is not there."""


class BrokerDown(ConnectionError):  # noqa: N818 it says what is the matter
    """There is no connection to the broker just now."""


def inbox_prefix(service: str) -> str:
    """Name the subjects on which the broker answers a service; it may listen on no others."""
    return f"_INBOX_{service}"


class Broker:
    """Keeps one connection.

    The client of nats-py reconnects by itself after most losses, but closes for good when the server refuses it
    (`Authorization Violation` after a password was changed, `maximum connections exceeded`); then a new one is made.
    """

    def __init__(self, service: str, settings: Settings) -> None:
        self.service = service
        self._servers = settings.nats_url.get_secret_value().split(",")
        self._client: Client | None = None
        self._jetstream: JetStreamContext | None = None
        self._connected = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Broker"]:
        """Keep the connection while the block runs; entering does not wait for it."""
        keeper = asyncio.create_task(self._keep(), name="broker")
        try:
            yield self
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection just now."""
        return self._client is not None and self._client.is_connected

    async def jetstream(self) -> JetStreamContext:
        """Give the connection's JetStream.

        Raises:
            BrokerDown: as `connection` does.
        """
        await self.connection()
        assert self._jetstream  # noqa: S101 it is there as long as the connection is
        return self._jetstream

    async def connection(self) -> Client:
        """Give the connection.

        Raises:
            BrokerDown: when there is no connection and none comes within `PATIENCE` seconds.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self._connected.wait()
        except TimeoutError:
            raise BrokerDown("not connected to NATS") from None
        if self._client is None or not self.is_connected:
            raise BrokerDown("the connection to NATS was lost")
        return self._client

    async def _keep(self) -> None:
        while True:
            closed = asyncio.Event()
            client = Client()
            try:
                await self._connect(client, closed)
                await closed.wait()
                log.warning("NATS closed the connection; making a new one")
            except (OSError, nats.errors.Error, TimeoutError) as error:
                log.warning("no connection to NATS: %s", error)
            finally:
                self._connected.clear()
                self._client = self._jetstream = None
                with suppress(Exception):
                    await asyncio.wait_for(client.close(), 2)
            await asyncio.sleep(random.uniform(0.5, 2))  # noqa: S311 spreads services, guards no secret

    async def _connect(self, client: Client, closed: asyncio.Event) -> None:
        async def on_closed() -> None:
            closed.set()

        async def on_error(error: Exception) -> None:
            # A denied publish shows here alone; to the caller it looks like a time-out.
            log.warning("NATS: %s", error)

        await client.connect(
            self._servers,
            name=self.service,
            inbox_prefix=inbox_prefix(self.service),
            connect_timeout=2,
            max_reconnect_attempts=-1,
            # Typed as an int, used as a number of seconds; a random one spreads the services.
            reconnect_time_wait=random.uniform(0.25, 1),  # type: ignore[arg-type]  # noqa: S311
            ping_interval=10,
            max_outstanding_pings=2,
            error_cb=on_error,
            closed_cb=on_closed,
        )
        self._client, self._jetstream = client, client.jetstream(timeout=PATIENCE)
        self._connected.set()
        log.info("connected to NATS")
