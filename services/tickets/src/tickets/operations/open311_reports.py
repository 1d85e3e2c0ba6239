"""What apps report through Open311, and the keys that they report with."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import units
from linli.db import require_unit
from linli.problems import Forbidden, NotFound, OutsideScope, Unprocessable
from linli.security import Principal
from tickets.models.moves import Outcome, State
from tickets.models.open311 import (
    ApiKeyInvalid,
    ArgumentInvalid,
    ArgumentMissing,
    ArgumentUnknown,
    Key,
    Update,
    digest_of,
    new_key,
)
from tickets.models.places import Place
from tickets.models.tickets import Entry, Ticket
from tickets.operations import open311
from tickets.operations import open311_services as services
from tickets.operations.endings import close_ticket, reopen_ticket
from tickets.operations.intake import Report as Taken
from tickets.operations.intake import open_ticket
from tickets.operations.offices import hold_assignees
from tickets.operations.questions import answer_for_reporter
from tickets.operations.rules import hold_rules
from tickets.operations.tickets import entries_of, find_ticket, note_ticket
from tickets.schemas.open311 import Status

_TITLE: Final = 60


class NotYourRequest(Forbidden):
    """This request was not made with this api_key."""

    title_zh = "不是该密钥提交的诉求"
    detail_zh = "该诉求不是用此 api_key 提交的。"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an app reports.

    Attributes:
        attributes: what was answered, by code.
        media_url: of a picture; it is passed on as text, and never fetched.
    """

    service_code: str | None
    description: str
    latitude: float | None
    longitude: float | None
    address_string: str
    address_id: str
    media_url: str
    attributes: dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Word:
    """What an app adds to its report later."""

    service_request_id: UUID
    update_id: str
    status: Status
    description: str


async def make_key(session: AsyncSession, caller: Principal, *, name: str, unit: int) -> tuple[Key, str]:
    """Make a key for an app (发放接入密钥); gives it too, as it is known nowhere from now on.

    Raises:
        OutsideScope: 403.
        UnknownUnit: 422.
        Unprocessable: 422, for anything but a district or street.
    """
    caller.must_cover(unit)
    if units.level(unit) not in {units.Level.DISTRICT, units.Level.STREET}:
        raise Unprocessable(errors=[_UNIT])
    await require_unit(session, unit)
    secret = new_key()
    key = Key(
        district=units.district(unit),
        unit=unit,
        name=name,
        digest=digest_of(secret),
        made_by=caller.id,
        made_at=datetime.now(UTC),
    )
    session.add(key)
    await session.flush()
    return key, secret


_UNIT: Final = {"pointer": "#/unit", "detail": "a district or street", "detail_zh": "应为区或街道"}


def keys_within(unit: int | None) -> Select[tuple[Key]]:
    """Select keys by where they are good."""
    statement = select(Key)
    return statement if unit is None else statement.where(Key.unit.between(*units.span(unit)))


async def find_key(session: AsyncSession, key_id: UUID, *, to_change: bool = False) -> Key:
    """Read a key; `to_change` locks it.

    Raises:
        NotFound: 404.
    """
    statement = select(Key).where(Key.id == key_id)
    key = await session.scalar(statement.with_for_update() if to_change else statement)
    if key is None:
        raise NotFound(kind="key", id=str(key_id))
    return key


async def open_with(session: AsyncSession, secret: str, unit: int) -> Principal:
    """Tell who acts with a key in a jurisdiction; the transaction sees the district.

    Raises:
        ApiKeyInvalid: 403.
    """
    known = select(Key).where(
        Key.district == units.district(unit), Key.digest == digest_of(secret), Key.revoked_at.is_(None)
    )
    key = await session.scalar(known)
    if key is None or not units.contains(key.unit, unit):
        raise ApiKeyInvalid
    return key.acting(unit)


async def report(session: AsyncSession, caller: Principal, said: Report) -> Taken:
    """Take in what an app reports.

    Raises:
        ArgumentMissing: 400, without a service_code or a place.
        ArgumentUnknown: 404, for a service_code that is none.
        ArgumentInvalid: 400.
    """
    category = await services.find_service(session, caller.unit, said.service_code)
    if said.latitude is None and not said.address_string and not said.address_id:
        raise ArgumentMissing(name="lat and long, address_string or address_id")
    unit, place = await _place(session, caller, said.address_id)
    also = (("地址 Address", said.address_string), ("媒体 Media", said.media_url))
    text = said.description or f"{category.name} {category.name_en}"
    located = said.latitude is not None
    return await open_ticket(
        session,
        caller,
        unit=unit,
        title=text.strip().splitlines()[0][:_TITLE],
        description="\n".join([text, *(f"{name}: {value}" for name, value in also if value)]),
        category=category.code,
        source=open311.SOURCE,
        latitude=said.latitude if located or not place else place.latitude,
        longitude=said.longitude if located or not place else place.longitude,
        subject_kind="place" if place else None,
        subject=str(place.id) if place else None,
        answers=services.answers(category, said.attributes),
    )


async def _place(session: AsyncSession, caller: Principal, address_id: str) -> tuple[int, Place | None]:
    """Tell where an address is: a unit by its code, a place by its id; without one, somewhere in the jurisdiction."""
    if not address_id:
        return caller.unit, None
    try:
        if len(address_id) == len(str(UUID(int=0))):
            known = select(Place).where(Place.district == caller.district, Place.id == UUID(address_id), Place.active)
            place = await session.scalar(known)
            if place is not None:
                return place.unit, place
        unit = units.parse(address_id)
        caller.must_cover(unit)
        await require_unit(session, unit)
    except (ValueError, OutsideScope, Unprocessable):
        reason = "it is no unit or place of this jurisdiction (不是该辖区的单元或点位)"
        raise ArgumentInvalid(name="address_id", reason=reason) from None
    return unit, None


async def add_update(session: AsyncSession, caller: Principal, said: Word) -> UUID:
    """Take in what an app adds to its own report; sent again, it has no further effect.

    `closed` says of a report that was dealt with that it is fixed, `open` that it is not. What its reporter was asked
    for it answers; at other times it is a note.

    Raises:
        ArgumentUnknown: 404, for a report that is not to be seen.
        NotYourRequest: 403.
        ArgumentInvalid: 400, when the update_id was used for something else.
    """
    ticket = await _own_ticket(session, caller, said.service_request_id)
    digest = hashlib.sha256(repr((ticket.id, said.status, said.description)).encode()).digest()
    before = await session.scalar(
        select(Update).where(
            Update.district == ticket.district, Update.key_id == caller.id, Update.update_id == said.update_id
        )
    )
    if before is not None:
        if before.digest != digest:
            raise ArgumentInvalid(name="update_id", reason="it was used for another update (已用于其他更新)")
        return before.id
    if ticket.state == State.WAITING.value:
        await answer_for_reporter(session, caller, ticket, said.description, open311=said.update_id)
    elif ticket.state != State.RESOLVED.value:
        await note_ticket(session, caller, ticket, said.description, open311=said.update_id)
    elif said.status == "closed":
        await close_ticket(session, caller, ticket, said.description, Outcome.FIXED, open311=said.update_id)
    else:
        await reopen_ticket(session, caller, ticket, said.description, open311=said.update_id)
    await session.flush()
    # The last of those said here: departments are called off after the end.
    said_here = entries_of(ticket).where(Entry.facts["open311"].is_not(None))
    entry = (await session.scalars(said_here.order_by(Entry.sequence.desc()).limit(1))).one()
    session.add(
        Update(
            district=ticket.district,
            id=entry.id,
            unit=ticket.unit,
            ticket_id=ticket.id,
            key_id=caller.id,
            update_id=said.update_id,
            digest=digest,
            at=datetime.now(UTC),
        )
    )
    return entry.id


async def _own_ticket(session: AsyncSession, caller: Principal, ticket_id: UUID) -> Ticket:
    if not await open311.named_requests(session, caller.unit, [ticket_id]):
        raise ArgumentUnknown(name="service_request_id")
    await hold_rules(session, caller.district)  # this and those who have it before it is locked, as in `api.moves`
    await hold_assignees(session, ticket_id)
    ticket = await find_ticket(session, ticket_id, to_change=True)
    if ticket.reporter != caller.id:
        raise NotYourRequest(permission="reporter")
    return ticket
