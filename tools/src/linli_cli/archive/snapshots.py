"""Databases as they are at one moment each, however long they are read."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from linli_cli.archive.stores import connected


@asynccontextmanager
async def snapshots(urls: Mapping[str, str]) -> AsyncIterator[dict[str, asyncpg.Connection]]:
    """Open databases to be read, one after the other in this order, see `order.consumers_first`.

    Args:
        urls: addresses by service.
    """
    async with AsyncExitStack() as stack:
        found = {}
        for service, url in urls.items():
            found[service] = await stack.enter_async_context(connected(url))
            await stack.enter_async_context(found[service].transaction(isolation="repeatable_read", readonly=True))
            await found[service].execute("SELECT 1")  # the first statement chooses the moment
        yield found
