"""Connections that are free (连接池队列): whoever has waited longest gets the next one.

SQLAlchemy's own queue wakes a waiter and lets a newcomer take what he was woken for; he begins to wait anew, behind
all others, and under load some are refused after five seconds while the rest wait for none.
"""

import asyncio
from collections import deque
from typing import Any

from sqlalchemy.util import await_only
from sqlalchemy.util.queue import Empty, Full, QueueCommon


class Fair(QueueCommon[Any]):
    """A queue of a pool, as SQLAlchemy asks of one."""

    def __init__(self, maxsize: int = 0, use_lifo: bool = False) -> None:  # noqa: FBT001, FBT002 as it is called
        self.maxsize = maxsize
        self.use_lifo = use_lifo
        self._free: deque[Any] = deque()
        self._waiting: deque[asyncio.Future[Any]] = deque()

    def empty(self) -> bool:
        """Whether none is free."""
        return not self._free

    def full(self) -> bool:
        """Whether it takes no more."""
        return 0 < self.maxsize <= len(self._free)

    def qsize(self) -> int:
        """How many are free."""
        return len(self._free)

    def put_nowait(self, item: Any) -> None:  # noqa: ANN401 whatever the pool puts in
        """Give a connection to whoever waits, or keep it.

        Raises:
            Full: when nobody waits and there are as many as it may keep.
        """
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(item)
                return
        if self.full():
            raise Full
        self._free.append(item)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ANN401, ARG002, FBT001, FBT002 as above
        """Do the same; there is nothing to wait for."""
        self.put_nowait(item)

    def get_nowait(self) -> Any:  # noqa: ANN401 as above
        """Take the connection that was used last, whose process at the server is warm.

        Raises:
            Empty: when none is free.
        """
        if not self._free:
            raise Empty
        return self._free.pop()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401, FBT001, FBT002 as above
        """Take a connection, waiting so many seconds for one; within SQLAlchemy's greenlet.

        Raises:
            Empty: when none came.
        """
        return await_only(self._next(timeout)) if block and not self._free else self.get_nowait()

    async def _next(self, timeout: float | None) -> Any:  # noqa: ANN401, ASYNC109 as above
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self.put_nowait(waiter.result())  # It came in the moment in which nobody waited for it any longer.
            if isinstance(error, TimeoutError):
                raise Empty from None
            raise
