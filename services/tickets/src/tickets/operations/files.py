"""Use cases of photos and files.

The content is in the store before its row is committed, so there is never a row without one. Content that no row came
to, and that of removed files, is deleted by a clock: `sweep`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from linli import timers
from linli.events.files import FileChanged
from linli.outbox import publish
from linli.problems import NotFound, Unavailable
from linli.security import Principal
from linli.telemetry import about
from linli.timers import Timer
from tickets.files import Store
from tickets.models.files import MOST, File, TooManyFiles, object_name
from tickets.models.moves import NotYours
from tickets.models.tickets import Ticket
from tickets.operations.tickets import find_ticket, note_ticket
from tickets.pictures import Content

SWEEP: Final = "file"
"""The clock that deletes content without a row."""
_SWEPT_AFTER: Final = timedelta(hours=1)
_ADDED_WITHIN: Final = timedelta(minutes=30)
_LOCATED: Final = "位置取自照片 The place was taken from a photo"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file whose content is in the store, and which has no row yet."""

    id: UUID
    announced_at: datetime
    content: Content


async def announce_file(session: AsyncSession, ticket_id: UUID, file_id: UUID) -> Ticket:
    """Say that the content of a file is about to be kept; it is swept if nothing comes of it.

    Raises:
        NotFound: 404, for a ticket that the caller does not see.
    """
    ticket = await find_ticket(session, ticket_id)
    due = {SWEEP: datetime.now(UTC) + _SWEPT_AFTER}
    await timers.set(session, aggregate=file_id, unit=ticket.unit, due=due)
    return ticket


async def add_file(session: AsyncSession, caller: Principal, ticket_id: UUID, kept: Kept, *, locate: bool) -> File:
    """Add a file whose content is kept (上传附件); `locate` takes the ticket's place from the picture.

    Raises:
        NotFound: 404.
        TooManyFiles: 409.
        NotYours: 403, when somebody else than the reporter wants the place to be taken.
        Unavailable: 503, when keeping it took so long that it may be swept already.
    """
    now = datetime.now(UTC)
    if now - kept.announced_at > _ADDED_WITHIN:
        raise Unavailable
    ticket = await find_ticket(session, ticket_id, to_change=True)
    if locate and caller.id != ticket.reporter:
        raise NotYours(who="the reporter (诉求人)", move="locate", permission="reporter")
    taken = await session.scalars(select(File.slot).where(*_of(ticket), File.slot.is_not(None)))
    free = set(range(1, MOST + 1)) - set(taken)
    if not free:
        raise TooManyFiles(most=MOST)
    file = File(
        district=ticket.district,
        id=kept.id,
        unit=ticket.unit,
        ticket_id=ticket.id,
        reporter=ticket.reporter,
        slot=min(free),
        uploader=caller.id,
        kind=kept.content.kind.value,
        size=len(kept.content.body),
        width=kept.content.width,
        height=kept.content.height,
        added_at=now,
    )
    session.add(file)
    if locate and kept.content.location:
        ticket.latitude, ticket.longitude = kept.content.location
        await note_ticket(session, caller, ticket, _LOCATED, file=file.id)
    await timers.cancel(session, aggregate=file.id, unit=ticket.unit, kinds=[SWEEP])
    await _tell(session, caller, ticket, file, "added")
    return file


async def _tell(session: AsyncSession, caller: Principal, ticket: Ticket, file: File, step: str) -> None:
    await session.flush()
    await publish(
        session,
        FileChanged(
            file=file.id,
            unit=file.unit,
            sequence=file.version,
            ticket=ticket.id,
            reporter=ticket.reporter,
            assignee=ticket.assignee,
            kind=file.kind,
            size=file.size,
            step=step,
            changed_by=caller.id,
        ),
    )
    about(subject=str(ticket.id))  # whoever looks for what happened to the ticket finds it


def files_of(ticket: Ticket) -> Select[tuple[File]]:
    """Select a ticket's files, those that were removed among them."""
    return select(File).where(*_of(ticket))


async def find_file(session: AsyncSession, ticket_id: UUID, file_id: UUID, *, to_change: bool = False) -> File:
    """Read a file of a ticket; `to_change` locks it.

    Raises:
        NotFound: 404.
    """
    ticket = await find_ticket(session, ticket_id)
    statement = select(File).where(*_of(ticket), File.id == file_id)
    file = await session.scalar(statement.with_for_update() if to_change else statement)
    if file is None:
        raise NotFound(kind="file", id=str(file_id))
    return file


async def remove_file(session: AsyncSession, caller: Principal, file: File) -> None:
    """Take a file away (删除附件): its content is deleted, and its row says who did so.

    Raises:
        FileRemoved: 410.
        NotYours: 403.
    """
    file.remove(caller.id, staff="tickets.assign" in caller.permissions)
    await timers.set(session, aggregate=file.id, unit=file.unit, due={SWEEP: datetime.now(UTC)})
    await _tell(session, caller, await find_ticket(session, file.ticket_id), file, "removed")


async def sweep(session: AsyncSession, timer: Timer, store: Store) -> bool:
    """Delete content that no row speaks of any more."""
    speaks = select(File.id).where(
        File.district == timer.district, File.id == timer.aggregate, File.removed_at.is_(None)
    )
    if not await session.scalar(speaks):
        await store.delete(object_name(timer.district, timer.aggregate))
    return False


def _of(ticket: Ticket) -> tuple[ColumnElement[bool], ...]:
    return File.district == ticket.district, File.ticket_id == ticket.id
