"""Use cases of needs and resources (需求清单、资源清单): listed, matched by kind and place, withdrawn."""

from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import Label, Select, and_, case, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import with_expression

from linli import units
from linli.db import require_unit
from linli.events.wishes import ListChanged
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import Principal
from tickets.models.lists import ListStep, Need, NeedState, Resource, ResourceState

Row = TypeVar("Row", Need, Resource)
_SIZES: Final = (10**6, 10**9)
"""How many units lie in a community, and in a street."""


async def put_on_list(session: AsyncSession, caller: Principal, row: Need | Resource) -> None:
    """Put what a unit needs, or the caller offers, on its list.

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        UnknownUnit: 422.
    """
    caller.must_cover(row.unit)
    await require_unit(session, row.unit)
    row.district, row.listed_at = units.district(row.unit), datetime.now(UTC)
    session.add(row)
    await tell_step(session, caller, row, ListStep.LISTED)


async def tell_step(session: AsyncSession, caller: Principal, row: Need | Resource, step: ListStep) -> None:
    """Tell of what the caller did with a need or a resource."""
    await session.flush()
    await publish(
        session,
        ListChanged(
            listing=row.id,
            unit=row.unit,
            sequence=row.version,
            what=row.__tablename__,
            kind=row.kind,
            step=step.value,
            owner=row.listed_by if isinstance(row, Need) else row.provider,
            changed_by=caller.id,
        ),
    )


async def find_listed(session: AsyncSession, what: type[Row], id_: UUID, *, to_change: bool = False) -> Row:
    """Read a need or a resource; `to_change` locks it, which only those can who may change it.

    Raises:
        NotFound: 404.
    """
    statement = select(what).where(what.id == id_)
    found = await session.scalar(statement.with_for_update() if to_change else statement)
    if found is None:
        raise NotFound(kind=what.__tablename__, id=str(id_))
    return found


def listed_within(
    what: type[Row], district: int, unit: int | None, kind: str | None, state: NeedState | ResourceState | None
) -> Select[tuple[Row]]:
    """Select a district's needs or resources by where they are, of which kind, and how they stand."""
    statement = select(what).where(what.district == district)
    if unit is not None:
        statement = statement.where(what.unit.between(*units.span(unit)))
    if kind is not None:
        statement = statement.where(what.kind == kind)
    if state is not None:
        statement = statement.where(what.state == state.value)
    return statement


async def withdraw(session: AsyncSession, caller: Principal, row: Need | Resource) -> None:
    """Take a locked need or resource off its list; projects that have the resource go on.

    Raises:
        NotListed: 409.
    """
    row.withdraw()
    await tell_step(session, caller, row, ListStep.WITHDRAWN)


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
