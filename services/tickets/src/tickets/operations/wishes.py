"""Use cases of wishes (微心愿): made, claimed by one with a time limit, fulfilled, confirmed by the one who wished."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Row, Select, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import audit, timers, units
from linli.db import Scope, require_unit
from linli.events.wishes import WishClaimed, WishConfirmed, WishFulfilled, WishListed, WishReturned, WishWithdrawn
from linli.models import uuid7
from linli.outbox import publish
from linli.problems import NotFound
from linli.security import PERMISSIONS, Principal
from tickets.calendar import DAY
from tickets.models.moves import Level
from tickets.models.wishes import NotYourWish, OwnWish, Wish, WishMove, WishPerson, WishState
from tickets.operations.offices import is_in_office, managers_from
from tickets.operations.rules import rules_of
from tickets.sight import widened

CLAIM: Final = "claim"
"""The clock of a claim."""
CLAIM_DAYS: Final = 10
"""Working days that whoever claims a wish has to fulfil it."""
_NAMING: Final = frozenset(role for role, permissions in PERMISSIONS.items() if "wishes.name" in permissions)
"""The roles in which somebody writes down what others wish, and records their word."""
_WISHER: Final = "the one who wished (许愿人)"
_CLAIMER: Final = "the one who claimed it (认领人)"


async def list_wish(  # noqa: PLR0913 a wish is these facts
    session: AsyncSession,
    caller: Principal,
    *,
    unit: int,
    kind: str,
    title: str,
    description: str,
    wisher: UUID | None,
) -> Wish:
    """Put a wish on the list (许愿), one's own, or as staff that of somebody in the unit.

    Raises:
        OutsideScope: 403, for a unit the caller does not cover.
        NotYourWish: 403, for another's wish and no staff.
        UnknownUnit: 422.
    """
    caller.must_cover(unit)
    await require_unit(session, unit)
    wisher = wisher or caller.id
    listed_by = None if wisher == caller.id else caller.id
    if listed_by and not _names(caller, unit):
        raise NotYourWish(who="the community's staff (社区工作人员)", move="list", permission="wishes.name")
    wish = Wish(
        id=uuid7(),
        district=units.district(unit),
        unit=unit,
        kind=kind,
        title=title,
        description=description,
        listed_at=datetime.now(UTC),
    )
    session.add(wish)
    await session.flush()
    session.add(WishPerson(district=wish.district, id=wish.id, unit=unit, wisher=wisher, listed_by=listed_by))
    await publish(session, WishListed(wish=wish.id, unit=unit, sequence=wish.version, wisher=wisher, kind=kind))
    return wish


async def find_wish(session: AsyncSession, wish_id: UUID, *, to_change: bool = False) -> Wish:
    """Read a wish; `to_change` locks it until the transaction ends.

    Raises:
        NotFound: 404.
    """
    statement = select(Wish).where(Wish.id == wish_id)
    wish = await session.scalar(statement.with_for_update() if to_change else statement)
    if wish is None:
        raise NotFound(kind="wish", id=str(wish_id))
    return wish


def wishes_within(
    district: int, unit: int | None, *, wisher: UUID | None, **equal: UUID | str | None
) -> Select[tuple[Wish]]:
    """Select a district's wishes by where they are and what their columns hold.

    By wisher, and by the grid that would tell where he lives, those of whom the caller may know who wished.
    """
    statement = select(Wish).where(Wish.district == district)
    person = exists().where(WishPerson.district == Wish.district, WishPerson.id == Wish.id)
    if unit is not None:
        statement = statement.where(Wish.unit.between(*units.span(unit)))
        if unit != units.community(unit):
            statement = statement.where(person)
    for name, value in equal.items():
        if value is not None:
            statement = statement.where(getattr(Wish, name) == value)
    if wisher is not None:
        statement = statement.where(person.where(WishPerson.wisher == wisher))
    return statement


async def wishers_of(session: AsyncSession, wishes: Sequence[Wish]) -> dict[UUID, UUID]:
    """Tell who made which wish, as far as the caller may know."""
    return {wish: person.wisher for wish, person in (await _people_of(session, wishes)).items()}


async def _people_of(session: AsyncSession, wishes: Sequence[Wish]) -> dict[UUID, Row[tuple[UUID, UUID, UUID | None]]]:
    """Read who made which wish, and who wrote it down for him: the database leaves out whom the caller may not know.

    Whoever works in some grids knows it there, and as a person, too, wherever he has wished or claimed himself.
    """
    scope: Scope = session.info["scope"]
    people = select(WishPerson.id, WishPerson.wisher, WishPerson.listed_by).where(
        WishPerson.id.in_([wish.id for wish in wishes])
    )
    rows = (await session.execute(people)).all()
    if scope.grids:
        async with widened(session):
            his = or_(WishPerson.wisher == scope.person, WishPerson.claimer == scope.person)
            rows = [*rows, *await session.execute(people.where(his))]
    return {row.id: row for row in rows}


async def claim_wish(session: AsyncSession, caller: Principal, wish: Wish) -> None:
    """Promise to fulfil a locked wish (认领) within some working days; nobody else can meanwhile.

    Raises:
        WishTaken: 409.
        IllegalWishMove: 409.
        OwnWish: 409.
    """
    wish.must_be_free()
    if caller.id in (await wishers_of(session, [wish])).values():
        raise OwnWish
    calendar, now = (await rules_of(session, wish.district)).calendar, datetime.now(UTC)
    due_at = calendar.due_after(now, CLAIM_DAYS * DAY)
    wish.claim(caller.id, now, due_at)
    await timers.set(session, aggregate=wish.id, unit=wish.unit, due={CLAIM: due_at})
    await session.flush()  # from now on the claimer sees whose wish it is
    await publish(
        session,
        WishClaimed(
            wish=wish.id,
            unit=wish.unit,
            sequence=wish.version,
            wisher=await _wisher(session, wish),
            claimer=caller.id,
            due_at=due_at,
        ),
    )


async def give_back(session: AsyncSession, caller: Principal, wish: Wish) -> None:
    """Give a locked wish back to the list (退回).

    Raises:
        NotYourWish: 403, for anybody but the claimer.
        IllegalWishMove: 409.
    """
    if caller.id != wish.claimer:
        raise NotYourWish(who=_CLAIMER, move=WishMove.GIVE_BACK.value, permission="claimer")
    await _return(session, wish, WishMove.GIVE_BACK)
    await timers.cancel(session, aggregate=wish.id, unit=wish.unit, kinds=[CLAIM])


async def expire_claim(session: AsyncSession, wish_id: UUID) -> bool:
    """Return a wish to the list that was not fulfilled in time (超时退回); its clock is gone in any case."""
    wish = await find_wish(session, wish_id, to_change=True)
    if wish.state == WishState.CLAIMED:
        await _return(session, wish, WishMove.EXPIRE)
    return False


async def fulfil_wish(session: AsyncSession, caller: Principal, wish: Wish) -> None:
    """Say that a locked wish has come true (完成).

    Raises:
        NotYourWish: 403, for anybody but the claimer.
        IllegalWishMove: 409.
    """
    if caller.id != wish.claimer:
        raise NotYourWish(who=_CLAIMER, move=WishMove.FULFIL.value, permission="claimer")
    wish.fulfil()
    await timers.cancel(session, aggregate=wish.id, unit=wish.unit, kinds=[CLAIM])
    person = (await _people_of(session, [wish]))[wish.id]
    asked = await _asked(session, wish, person.listed_by)
    await publish(session, await _told(session, WishFulfilled, wish, **asked))


async def _asked(session: AsyncSession, wish: Wish, listed_by: UUID | None) -> dict[str, object]:
    """Name who asks whom a wish was written down for: who did that, or if he can't, those who manage its unit."""
    if listed_by is None:
        return {}
    if listed_by != wish.claimer and await is_in_office(session, listed_by, wish.unit, _NAMING):
        return {"listed_by": listed_by}
    return {"supervisors": await managers_from(session, wish.unit, Level.COMMUNITY, but=wish.claimer)}


async def confirm_wish(session: AsyncSession, caller: Principal, wish: Wish) -> None:
    """Say that a locked wish has come true indeed (确认).

    Raises:
        NotYourWish: 403, for anybody but the one who wished, or the staff who may record his word.
        IllegalWishMove: 409.
    """
    recorded_by = await _hear(session, caller, wish, WishMove.CONFIRM)
    wish.confirm()
    await publish(session, await _told(session, WishConfirmed, wish, recorded_by=recorded_by))


async def deny_wish(session: AsyncSession, caller: Principal, wish: Wish) -> None:
    """Say that a locked wish has not come true (未实现): it goes back to the list.

    Raises:
        NotYourWish: 403, for anybody but the one who wished, or the staff who may record his word.
        IllegalWishMove: 409.
    """
    recorded_by = await _hear(session, caller, wish, WishMove.DENY)
    await _return(session, wish, WishMove.DENY, recorded_by)


async def withdraw_wish(session: AsyncSession, caller: Principal, wish: Wish) -> None:
    """Take a locked wish off the list (撤回): who wished, or the staff of its community.

    Raises:
        NotYourWish: 403.
        IllegalWishMove: 409.
    """
    wisher = (await wishers_of(session, [wish])).get(wish.id)
    if caller.id != wisher and not _names(caller, wish.unit):
        raise NotYourWish(who=_WISHER, move=WishMove.WITHDRAW.value, permission="wisher")
    wish.withdraw()
    await session.flush()
    await publish(
        session,
        WishWithdrawn(
            wish=wish.id,
            unit=wish.unit,
            sequence=wish.version,
            wisher=await _wisher(session, wish),
            withdrawn_by=caller.id,
        ),
    )


def _names(caller: Principal, unit: int) -> bool:
    """Tell whether somebody may write down in a unit what others wish."""
    return "wishes.name" in caller.permissions and caller.covers(unit)


async def _hear(session: AsyncSession, caller: Principal, wish: Wish, move: WishMove) -> UUID | None:
    """Hear the one who wished, or, if staff wrote it down for him, those of its place who record his word (代为反馈).

    Nobody records a word on what he fulfilled himself. Who recorded what in whose name stays in the audit log.

    Returns:
        Who recorded it, None where the one who wished said so himself.

    Raises:
        NotYourWish: 403.
    """
    person = (await _people_of(session, [wish])).get(wish.id)
    if person and person.wisher == caller.id:
        return None
    if not (person and person.listed_by) or caller.id == wish.claimer or not _names(caller, wish.unit):
        raise NotYourWish(who=_WISHER, move=move.value, permission="wisher")
    await audit.record(session, caller, f"wishes.{move}", unit=wish.unit, subjects=[person.wisher], fields=["state"])
    return caller.id


async def _return(session: AsyncSession, wish: Wish, move: WishMove, recorded_by: UUID | None = None) -> None:
    wisher, claimer = await _wisher(session, wish), wish.claimer
    wish.return_to_list(move)
    await session.flush()
    await publish(
        session,
        WishReturned(
            wish=wish.id,
            unit=wish.unit,
            sequence=wish.version,
            wisher=wisher,
            claimer=claimer,
            reason=move.value,
            recorded_by=recorded_by,
        ),
    )


async def _wisher(session: AsyncSession, wish: Wish) -> UUID:
    return (await wishers_of(session, [wish]))[wish.id]


async def _told(
    session: AsyncSession, event: type[WishFulfilled] | type[WishConfirmed], wish: Wish, **also: object
) -> WishFulfilled | WishConfirmed:
    await session.flush()
    return event(
        wish=wish.id,
        unit=wish.unit,
        sequence=wish.version,
        wisher=await _wisher(session, wish),
        claimer=wish.claimer,
        **also,
    )
