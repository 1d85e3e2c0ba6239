"""Transactions that see what their scope allows, and nothing without one.

A service logs in as a role that may do nothing but become one of the *ways of seeing*; each transaction takes one
and says how far it reaches, so that a forgotten filter finds no foreign rows, and a forgotten scope is an error.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Self, cast
from uuid import UUID

from sqlalchemy import Connection, Engine, event, exists, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction

from linli import units
from linli.driver import Driver, Pool, still_there
from linli.models import KnownUnit
from linli.problems import Forbidden, UnknownUnit
from linli.settings import Essentials
from linli.shards import Server, Shards

NOBODY = UUID(int=0)
Sessions = async_sessionmaker[AsyncSession]
_ONE_SERVER: Final = Shards()
_DISTRICT: Final = 10**12
"""Units of a district."""
BY_SCOPE: Final = ""
"""The server that a scope's district lives on, whichever it is."""


class OneDistrict(Forbidden):
    """This token covers several districts, and this is done in one at a time. Use a token of that district."""

    title_zh = "须指定一个区"
    detail_zh = "当前令牌覆盖多个区，而此操作一次只能在一个区内进行，请使用该区的令牌。"


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
        called: whether of the range only what this person was called to is his business (部门人员); a service that
            calls people keeps the rest from him.
        app: whether an app sees the range (应用), and nobody in office: a service keeps what is private from it.
        keeps_plans: whether the server may plan a statement once for all times: only where all of them reach as far,
            as a plan that was made for a street may be 240 times slower for a district.
    """

    role: str
    lo: int
    hi: int
    grids: tuple[int, ...] = ()
    person: UUID = NOBODY
    called: bool = False
    app: bool = False
    keeps_plans: bool = False

    @classmethod
    def of_unit(cls, unit: int, person: UUID = NOBODY, *, called: bool = False, app: bool = False) -> Self:
        """See everything at or below a unit."""
        lo, hi = units.span(unit)
        return cls("linli_scoped", lo, hi, person=person, called=called, app=app)

    @classmethod
    def of_district(cls, district: int) -> Self:
        """See one district, the scope of a subscriber; district 0 is the platform's own rows, not everybody's."""
        return cls("linli_scoped", *_range(district), keeps_plans=True)

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

    def within(self, unit: int) -> Self:
        """See no more than this unit of it; whether it lies in the scope was asked before."""
        lo, hi = units.span(unit)
        return replace(self, lo=lo, hi=hi, keeps_plans=False)

    @property
    def district(self) -> int:
        """The district that it begins in: the one, unless it is wide."""
        return self.lo // _DISTRICT

    @property
    def wide(self) -> bool:
        """Whether it reaches beyond one district: the platform's own operators see all."""
        return self.district != self.hi // _DISTRICT


def server_of(scope: Scope, shards: Shards) -> Server:
    """Tell on which server a scope's district lives.

    Raises:
        OneDistrict: 403, when there are several and it is wider than a district.
    """
    if shards.addresses and scope.wide:
        raise OneDistrict
    return shards.of(scope.district)


def _range(district: int) -> tuple[int, int]:
    return district * _DISTRICT, (district + 1) * _DISTRICT - 1


@lru_cache(maxsize=1024)
def beginning(scope: Scope) -> str:
    """Write the beginning of a transaction and what it may see as one message to the server.

    A round trip of its own would cost each transaction as much as a statement: docs/decisions/0009-fewer-round-trips.md
    So there are no parameters; but what stands in it are numbers, a UUID, and a name of this module.
    """
    if not _ROLE.fullmatch(scope.role):
        raise ValueError(f"{scope.role!r} is no role")
    grids = ",".join(f"{grid:d}" for grid in scope.grids)
    plans = "; SET LOCAL plan_cache_mode = auto" if scope.keeps_plans else ""
    return (
        f"BEGIN; SET LOCAL ROLE {scope.role}; SET LOCAL app.lo = '{scope.lo:d}'; SET LOCAL app.hi = '{scope.hi:d}';"
        f" SET LOCAL app.grids = '{{{grids}}}'; SET LOCAL app.person = '{UUID(int=scope.person.int)}'"
        f"{plans}"
    )


_ROLE: Final = re.compile("linli_[a-z]+")


def _apply_scope(session: Session, _: SessionTransaction, connection: Connection) -> None:
    driver = cast("Driver", connection.connection.driver_connection)
    first = session.info.pop("first", None)
    driver.scope = beginning(session.info["scope"]) + (f"; {first}" if first else "")
    session.info["driver"] = driver


def _let_go(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        for name in ("driver", "first", "later", "locks"):
            session.info.pop(name, None)


class ScopedSession(Session):
    """A session that sets its scope at the start of each transaction, and has none to begin without.

    It works on one database server: where its scope's district lives, unless it was told.
    """

    @property
    def server(self) -> Server:
        """The server it works on.

        Raises:
            OneDistrict: 403, when there are several, its scope is wider than a district, and it was not told.
        """
        server: Server = self.info.get("server", BY_SCOPE)
        return server_of(self.info["scope"], self.info["shards"]) if server == BY_SCOPE else server

    def get_bind(self, *_: Any, **__: Any) -> Engine:  # noqa: ANN401 whatever is asked for, one server has it
        """Give the connections to that server."""
        engine: AsyncEngine = self.info["engines"][self.server]
        return engine.sync_engine


event.listen(ScopedSession, "after_begin", _apply_scope)
event.listen(ScopedSession, "after_transaction_end", _let_go)


def async_url(url: str) -> str:
    """Name the asyncpg driver in a plain `postgresql://` address."""
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


def create_engine(settings: Essentials, service: str, server: Server = None) -> AsyncEngine:
    """Make the service's engine for one server: a bounded pool, and every wait in the database with an end."""
    milliseconds = str(int(settings.statement_timeout * 1000))
    engine = create_async_engine(
        async_url(Shards.at(settings.database_url.get_secret_value(), server)),
        poolclass=Pool,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=5,
        pool_recycle=1800,
        hide_parameters=True,  # an error is logged with its statement, never with what residents said
        connect_args={
            "connection_class": Driver,
            "timeout": 5,
            "command_timeout": settings.statement_timeout + 5,
            "server_settings": {
                "application_name": service,
                "statement_timeout": milliseconds,
                "lock_timeout": milliseconds,
                "idle_in_transaction_session_timeout": "30000",
                "client_connection_check_interval": "1000",  # what a killed service had begun keeps nobody waiting
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", still_there)
    return engine


def create_sessions(
    engines: Mapping[Server, AsyncEngine], wake: Callable[[Server], None], shards: Shards = _ONE_SERVER
) -> Sessions:
    """Make the session factory; objects stay usable after commit.

    Args:
        engines: the service's, one for each server.
        wake: called with the server after the commit of a transaction that published events.
        shards: which district lives on which.
    """
    info = {"engines": engines, "wake": wake, "shards": shards}
    return async_sessionmaker(sync_session_class=ScopedSession, expire_on_commit=False, info=info)


@asynccontextmanager
async def transaction(sessions: Sessions, scope: Scope, server: Server = BY_SCOPE) -> AsyncIterator[AsyncSession]:
    """Run one transaction under a scope: commits at the end, rolls back on any error.

    Args:
        sessions: the service's.
        scope: what it sees; its district says on which server.
        server: where, when the scope is wider than a district.
    """
    async with sessions(info={"scope": scope, "server": server}) as session, session.begin():
        yield session


async def require_unit(session: AsyncSession, unit: int) -> None:
    """Refuse a unit that this service has not been told of, or that is no longer in use.

    Raises:
        UnknownUnit: 422.
    """
    known = select(exists().where(KnownUnit.district == units.district(unit), KnownUnit.unit == unit, KnownUnit.active))
    if not await session.scalar(known):
        raise UnknownUnit(unit=units.short(unit))
