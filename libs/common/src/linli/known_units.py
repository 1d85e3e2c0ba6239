"""Keeps the service's copy of the directory's units (已知单元), so that a foreign key can say "this unit exists"."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.events.directory import UnitChanged
from linli.idempotency import Router
from linli.models import KnownUnit
from linli.paging import Paging
from linli.schemas import Out, Paged
from linli.security import require
from linli.units import Kind, UnitCode


async def keep_units(session: AsyncSession, events: list[UnitChanged]) -> None:
    """Write down how units of one district are now; what is older than the copy is dropped."""
    latest = {event.unit: event for event in sorted(events, key=lambda event: event.sequence)}
    rows = [
        {
            "district": event.district,
            "unit": event.unit,
            "kind": event.kind,
            "name": event.name,
            "active": event.active,
            "sequence": event.sequence,
        }
        for event in latest.values()
    ]
    found = insert(KnownUnit).values(rows)
    newer = {name: found.excluded[name] for name in ("kind", "name", "active", "sequence")}
    await session.execute(
        found.on_conflict_do_update(
            index_elements=["district", "unit"], set_=newer, where=KnownUnit.sequence < found.excluded.sequence
        )
    )


class KnownUnitOut(Out):
    """A unit as this service knows it; `sequence` is the version that it was told of last."""

    code: UnitCode
    kind: Kind
    name: str
    active: bool
    sequence: int


def router(service: str) -> APIRouter:
    """Make the route that tells which units have reached a service."""
    from linli.service import Transaction, Within  # noqa: PLC0415 it builds services with this route

    routes = Router(prefix=f"/{service}/v1/known-units", tags=["units"])

    @routes.get("", dependencies=[require("units.read")])
    async def list_known_units(
        session: Transaction, page: Paging, request: Request, response: Response, within: Within
    ) -> Paged[KnownUnitOut]:
        """List the units that this service has been told of so far (已知单元)."""
        rows, following = await page.of(
            session, _within(within), key=(KnownUnit.unit,), request=request, response=response
        )
        return Paged(items=[_shown(row) for row in rows], next=following)

    return routes


def _shown(row: KnownUnit) -> KnownUnitOut:
    return KnownUnitOut(code=row.unit, kind=Kind(row.kind), name=row.name, active=row.active, sequence=row.sequence)


def _within(unit: int | None) -> Select[Any]:
    if unit is None:
        return select(KnownUnit)
    # The district too, because the key starts with it.
    return select(KnownUnit).where(
        KnownUnit.unit.between(*units.span(unit)),
        *([KnownUnit.district == units.district(unit)] if unit else []),
    )
