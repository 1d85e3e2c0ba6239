"""Use cases of needs and resources (需求清单、资源清单): listed, matched by kind and place, withdrawn."""

from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import Label, Select, and_, case, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import with_expression

from linli import units
from linli.db import require_unit
from linli.problems import NotFound
from linli.security import Principal
from tickets.models.lists import Need, NeedState, Resource, ResourceState

Listed = TypeVar("Listed", Need, Resource)
_SIZES: Final = (10**6, 10**9)
"""How many units lie in a community, and in a street."""


async def list_need(  # noqa: PLR0913 a need is these facts
    session: AsyncSession, caller: Principal, *, unit: int, kind: str, title: str, description: str
) -> Need:
    """Put what a unit needs on the list.

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        UnknownUnit: 422.
    """
    caller.must_cover(unit)
    await require_unit(session, unit)
    need = Need(
        district=units.district(unit),
        unit=unit,
        kind=kind,
        title=title,
        description=description,
        listed_by=caller.id,
        state=NeedState.LISTED.value,
        listed_at=datetime.now(UTC),
    )
    session.add(need)
    await session.flush()
    return need


async def list_resource(  # noqa: PLR0913 a resource is these facts
    session: AsyncSession, caller: Principal, *, unit: int, kind: str, title: str, description: str
) -> Resource:
    """Put what the caller offers on the list.

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        UnknownUnit: 422.
    """
    caller.must_cover(unit)
    await require_unit(session, unit)
    resource = Resource(
        district=units.district(unit),
        unit=unit,
        kind=kind,
        title=title,
        description=description,
        provider=caller.id,
        state=ResourceState.LISTED.value,
        listed_at=datetime.now(UTC),
    )
    session.add(resource)
    await session.flush()
    return resource


async def find_need(session: AsyncSession, need_id: UUID, *, to_change: bool = False) -> Need:
    """Read a need; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    return await _find(session, Need, need_id, to_change=to_change)


async def find_resource(session: AsyncSession, resource_id: UUID, *, to_change: bool = False) -> Resource:
    """Read a resource; `to_change` locks it until the transaction ends, which only those can who may change it.

    Raises:
        NotFound: 404.
    """
    return await _find(session, Resource, resource_id, to_change=to_change)


def listed_within(
    what: type[Listed], unit: int | None, kind: str | None, state: NeedState | ResourceState | None
) -> Select[tuple[Listed]]:
    """Select needs or resources by where they are, of which kind, and how they stand."""
    statement = select(what)
    if unit is not None:
        statement = statement.where(what.unit.between(*units.span(unit)))
    if kind is not None:
        statement = statement.where(what.kind == kind)
    if state is not None:
        statement = statement.where(what.state == state.value)
    return statement


def nearness(need: Need) -> Label[int]:
    """Tell how near a resource is to a need: in or above its unit, or beside it in its community, street, district."""
    above: list[int] = []
    at: int | None = need.unit
    while at:
        above.append(at)
        at = units.parent(at)
    covering = [(Resource.unit == unit, place) for place, unit in enumerate(above)]
    beside = [
        (Resource.unit.between(need.unit - need.unit % size, need.unit - need.unit % size + size - 1), place)
        for place, size in enumerate(_SIZES, start=len(above))
    ]
    return case(*covering, *beside, else_=len(above) + len(_SIZES)).label("nearness")


def candidates_for(need: Need) -> Select[tuple[Resource]]:
    """Select resources that could meet a need, each with its nearness: on the list, and of its kind."""
    listed = and_(
        Resource.district == need.district, Resource.kind == need.kind, Resource.state == ResourceState.LISTED.value
    )
    return select(Resource).options(with_expression(Resource.nearness, nearness(need))).where(listed)


async def withdraw_need(session: AsyncSession, need: Need) -> None:
    """Take a locked need off the list.

    Raises:
        NotListed: 409.
    """
    need.withdraw()
    await session.flush()


async def withdraw_resource(session: AsyncSession, resource: Resource) -> None:
    """Take a locked resource off the list; projects that have it go on.

    Raises:
        NotListed: 409.
    """
    resource.withdraw()
    await session.flush()


async def _find(session: AsyncSession, what: type[Listed], id_: UUID, *, to_change: bool) -> Listed:
    statement = select(what).where(what.id == id_)
    found = await session.scalar(statement.with_for_update() if to_change else statement)
    if found is None:
        raise NotFound(kind=what.__tablename__, id=str(id_))
    return found
