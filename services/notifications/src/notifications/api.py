"""Routes of the notifications service."""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response

from linli.etags import IfMatch, set_etag
from linli.paging import Paging
from linli.schemas import Paged
from linli.security import Principal, require
from linli.service import OwnTransaction, Router, Transactions
from notifications import operations
from notifications.models import Notification
from notifications.schemas import NotificationChange, NotificationOut, Told, Unread

router = Router(prefix="/notifications/v1", tags=["notifications"])

Reader = Annotated[Principal, require("inbox.read")]
"""Whoever has an inbox; it is personal, so each route below sees the caller's own and no other, whatever the role."""


@router.get("/inbox")
async def list_inbox(
    session: OwnTransaction,
    caller: Reader,
    page: Paging,
    request: Request,
    response: Response,
    *,
    unread: bool = False,
    subject: UUID | None = None,
) -> Paged[NotificationOut]:
    """List the caller's messages (收件箱), what happened last first; `unread=true` for those not read."""
    rows, following = await page.of(
        session,
        operations.inbox_of(caller.id, unread=unread, subject=subject),
        key=(Notification.id.desc(),),
        request=request,
        response=response,
    )
    return Paged(items=[NotificationOut.of(row) for row in rows], next=following)


@router.get("/inbox/unread-count")
async def count_unread(session: OwnTransaction, caller: Reader) -> Unread:
    """Count what the caller has not read (未读数)."""
    return Unread(unread=await operations.count_unread(session, caller.id))


@router.get("/inbox/{notification_id}")
async def read_message(
    notification_id: UUID, session: OwnTransaction, caller: Reader, response: Response
) -> NotificationOut:
    """Read one message; reading does not mark it."""
    return _answer(await operations.find_message(session, caller.id, notification_id), response)


@router.patch("/inbox/{notification_id}")
async def change_message(
    notification_id: UUID,
    body: NotificationChange,
    match: IfMatch,
    session: OwnTransaction,
    caller: Reader,
    response: Response,
) -> NotificationOut:
    """Mark a message as read or unread (标记已读/未读)."""
    message = await operations.find_message(session, caller.id, notification_id, to_change=True)
    match.check(message)
    message.mark(read=body.read)
    await session.flush()
    return _answer(message, response)


@router.get("/notifications", dependencies=[require("events.read")])
async def list_told(
    sessions: Transactions,
    page: Paging,
    request: Request,
    response: Response,
    subject: UUID,
) -> Paged[Told]:
    """List who was told of a ticket, case, booking ... and when, newest first: for operators, without the words."""
    rows, following = await page.of(
        sessions,
        operations.told_of(subject),
        key=(Notification.id.desc(),),
        request=request,
        response=response,
    )
    return Paged(items=[Told.model_validate(row) for row in rows], next=following)


def _answer(message: Notification, response: Response) -> NotificationOut:
    set_etag(response, message)
    return NotificationOut.of(message)
