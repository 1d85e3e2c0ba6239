"""Connections of the driver (连接): how a transaction begins on one, and how they are kept."""

from typing import Final

import asyncpg
from sqlalchemy import AdaptedConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import AsyncAdaptedQueuePool

from linli.fair import Fair

LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when a statement is refused or the way to the server is lost; beside OSError.

Who hears that the server goes down while nothing was asked of it calls that an error of his own (InternalClientError).
"""


class Begun:
    """A transaction of the driver, as SQLAlchemy begins and ends one, that takes its scope while it begins."""

    def __init__(self, connection: "Driver") -> None:
        self._connection = connection

    async def start(self) -> None:
        """Begin; nothing is open after an error."""
        begin, self._connection.scope = self._connection.scope, NO_SCOPE
        try:
            await self._connection.execute(begin)
        except BaseException:
            # Half of it may have been done, so nobody else gets this connection.
            self._connection.terminate()
            raise

    async def commit(self) -> None:
        """Keep it."""
        await self._connection.commit()

    async def rollback(self) -> None:
        """Take it back."""
        await self._connection.execute("ROLLBACK")


NO_SCOPE: Final = "BEGIN"


class Driver(asyncpg.Connection):  # type: ignore[misc]  # it ships no types
    """A connection of the driver.

    Attributes:
        scope: how its next transaction begins; without a scope it sees nothing.
    """

    __slots__ = ("scope",)

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.scope = NO_SCOPE

    async def commit(self) -> None:
        """Keep what was done since the transaction began.

        Raises:
            InFailedSQLTransactionError: when nothing was kept, as a statement had failed and nobody said so.
        """
        if await self.execute("COMMIT") != "COMMIT":
            raise asyncpg.InFailedSQLTransactionError("a statement of it had failed, so nothing was kept")

    def transaction(self, **_: object) -> Begun:
        """Make a transaction; all are as the server's settings say."""
        return Begun(self)


class Pool(AsyncAdaptedQueuePool):
    """The pool of a service's connections to one server."""

    _queue_class = Fair


def still_there(connection: AdaptedConnection, *_: object) -> None:
    """Refuse a connection that the server has closed, and all that are as old, as it was started anew.

    The driver knows without asking; a question would cost three round trips, and tell no more of a server that hangs.

    Raises:
        InvalidatePoolError: the pool makes a new one.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError
    connection.driver_connection.scope = NO_SCOPE
