"""Transactions that see what their scope allows, and nothing without one.

A service logs in as a role that may do nothing but become one of the *ways of seeing*; each transaction takes one
and says how far it reaches, so that a forgotten filter finds no foreign rows, and a forgotten scope is an error.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

from sqlalchemy import Connection, event, exists, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction

from linli import units
from linli.models import KnownUnit
from linli.problems import UnknownUnit
from linli.settings import Settings

NOBODY = UUID(int=0)
Sessions = async_sessionmaker[AsyncSession]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a transaction may see: a database role and the range, grids and person it reaches to.

    Attributes:
        role: the PostgreSQL role: `linli_scoped` sees a range of units, `linli_worker` some grids,
            `linli_person` what is the person's own, `linli_issuer` what the directory needs to issue tokens.
        lo: lowest unit of the range.
        hi: highest unit of the range.
        grids: grids a worker sees.
        person: who acts; a resident's own rows are his by this id.
    """

    role: str
    lo: int
    hi: int
    grids: tuple[int, ...] = ()
    person: UUID = NOBODY

    @classmethod
    def of_unit(cls, unit: int, person: UUID = NOBODY) -> Self:
        """See everything at or below a unit."""
        lo, hi = units.span(unit)
        return cls("linli_scoped", lo, hi, person=person)

    @classmethod
    def of_district(cls, district: int) -> Self:
        """See one district, the scope of a subscriber; district 0 is the platform's own rows, not everybody's."""
        return cls("linli_scoped", *_range(district))

    @classmethod
    def of_grids(cls, grids: tuple[int, ...], district: int, person: UUID) -> Self:
        """See some grids (网格) and what is public in their district."""
        return cls("linli_worker", *_range(district), grids, person)

    @classmethod
    def of_person(cls, person: UUID, district: int) -> Self:
        """See a person's own rows and what is public in his district."""
        return cls("linli_person", *_range(district), person=person)

    @classmethod
    def issuer(cls) -> Self:
        """See what is needed to issue a token, before anybody is known."""
        return cls("linli_issuer", 0, 0)


def _range(district: int) -> tuple[int, int]:
    return district * 10**12, (district + 1) * 10**12 - 1


_SET_SCOPE: Final = (
    "SELECT set_config('role', $1, true), set_config('app.lo', $2, true), set_config('app.hi', $3, true),"
    " set_config('app.grids', $4, true), set_config('app.person', $5, true)"
)


def _apply_scope(session: Session, _: SessionTransaction, connection: Connection) -> None:
    scope: Scope = session.info["scope"]
    grids = "{" + ",".join(map(str, scope.grids)) + "}"
    # Written for the driver: it runs before everything else, and a compiled statement costs twice as much.
    connection.exec_driver_sql(_SET_SCOPE, (scope.role, str(scope.lo), str(scope.hi), grids, str(scope.person)))


class ScopedSession(Session):
    """A session that sets its scope at the start of each transaction, and has none to begin without."""


event.listen(ScopedSession, "after_begin", _apply_scope)


def async_url(url: str) -> str:
    """Name the asyncpg driver in a plain `postgresql://` address."""
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


def create_engine(settings: Settings, service: str) -> AsyncEngine:
    """Make the service's engine: a bounded pool, and every wait in the database with an end."""
    milliseconds = str(int(settings.statement_timeout * 1000))
    return create_async_engine(
        async_url(settings.database_url.get_secret_value()),
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=5,
        pool_recycle=1800,
        pool_pre_ping=True,  # after a restart of the database no caller is answered by a connection that is dead
        hide_parameters=True,  # an error is logged with its statement, never with what residents said
        connect_args={
            "timeout": 5,
            "command_timeout": settings.statement_timeout + 5,
            "server_settings": {
                "application_name": service,
                "statement_timeout": milliseconds,
                "lock_timeout": milliseconds,
                "idle_in_transaction_session_timeout": "30000",
            },
        },
    )


def create_sessions(engine: AsyncEngine, wake: Callable[[], None]) -> Sessions:
    """Make the session factory; objects stay usable after commit.

    Args:
        engine: the service's.
        wake: called after the commit of a transaction that published events; found as `session.info["wake"]`.
    """
    return async_sessionmaker(engine, sync_session_class=ScopedSession, expire_on_commit=False, info={"wake": wake})


@asynccontextmanager
async def transaction(sessions: Sessions, scope: Scope) -> AsyncIterator[AsyncSession]:
    """Run one transaction under a scope: commits at the end, rolls back on any error."""
    async with sessions(info={"scope": scope}) as session, session.begin():
        yield session


async def require_unit(session: AsyncSession, unit: int) -> None:
    """Refuse a unit that this service has not been told of, or that is no longer in use.

    Raises:
        UnknownUnit: 422.
    """
    known = select(exists().where(KnownUnit.district == units.district(unit), KnownUnit.unit == unit, KnownUnit.active))
    if not await session.scalar(known):
        raise UnknownUnit(unit=units.short(unit))
