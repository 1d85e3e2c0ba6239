"""Dead letters (死信): messages that could not be handled, kept until an operator has them handled again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Request, Response
from nats.aio.msg import Msg
from sqlalchemy import ColumnElement, Integer, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from linli.cloudevents import district_of, read
from linli.db import Scope, Sessions, transaction
from linli.idempotency import Router
from linli.inbox import Subscriptions
from linli.models import Base, uuid7
from linli.paging import Paging
from linli.problems import Conflict, NotFound
from linli.schemas import Out, Paged
from linli.security import require

_SHORT: Final = 500
_State = Literal["pending", "replayed", "discarded"]


class DeadLetter(Base):
    """A message as it came, and why it could not be handled."""

    __tablename__ = "dead_letter"
    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    consumer: Mapped[str]
    event_id: Mapped[UUID | None]
    subject: Mapped[str]
    headers: Mapped[dict[str, str]] = mapped_column(JSONB)
    payload: Mapped[bytes]
    error: Mapped[str]
    deliveries: Mapped[int] = mapped_column(Integer)
    died_at: Mapped[datetime] = mapped_column(server_default=func.now())
    replayed_at: Mapped[datetime | None]
    discarded_at: Mapped[datetime | None]


_IN: Final[dict[_State, ColumnElement[bool]]] = {
    "pending": DeadLetter.replayed_at.is_(None) & DeadLetter.discarded_at.is_(None),
    "replayed": DeadLetter.replayed_at.is_not(None),
    # What was given up and replayed after all is done.
    "discarded": DeadLetter.replayed_at.is_(None) & DeadLetter.discarded_at.is_not(None),
}


class ReplayFailed(Conflict):
    """The message still can't be handled: {error}. Nothing was changed; mend the cause, then replay it again."""

    title_zh = "重放失败"
    detail_zh = "该消息仍无法处理：{error}。未作任何更改，请排除原因后重试。"


class DeadLetterOut(Out):
    """A dead letter; `payload` as text."""

    id: UUID
    district: int
    consumer: str
    event_id: UUID | None
    subject: str
    headers: dict[str, str]
    payload: str
    error: str
    deliveries: int
    died_at: datetime
    replayed_at: datetime | None
    discarded_at: datetime | None

    @classmethod
    def of(cls, row: DeadLetter) -> "DeadLetterOut":
        """Show a row."""
        shown = {name: getattr(row, name) for name in cls.model_fields if name != "payload"}
        return cls(**shown, payload=row.payload.decode(errors="replace"))


def describe(error: Exception) -> str:
    """Say what went wrong without a row's values, which a database's own words would quote."""
    cause = ((error.orig and error.orig.__cause__) or error.orig) if isinstance(error, DBAPIError) else error
    if isinstance(cause, asyncpg.PostgresError):
        constraint = getattr(cause, "constraint_name", None)
        return f"{type(cause).__name__} {cause.sqlstate} {constraint or ''}".strip()
    return f"{type(error).__name__}: {error}"[:_SHORT]


def _clean(text: str) -> str:
    """Leave out what a database can't store as text; a broken message must not be unburiable."""
    return text.encode(errors="replace").decode().replace("\0", "")


async def bury(sessions: Sessions, consumer: str, message: Msg, error: Exception) -> None:
    """Keep a message that could not be handled, in the district it speaks of (0 when it names none)."""
    headers = dict(message.headers or {})
    try:
        event_id = UUID(headers.get("ce-id", ""))
    except ValueError:
        event_id = None
    district = district_of(message.subject)
    async with transaction(sessions, Scope.of_district(district)) as session:
        session.add(
            DeadLetter(
                district=district,
                id=uuid7(),
                consumer=consumer,
                event_id=event_id,
                subject=_clean(message.subject),
                headers={_clean(name): _clean(value) for name, value in headers.items()},
                payload=message.data,
                error=_clean(describe(error)),
                deliveries=message.metadata.num_delivered,
            )
        )


def router(service: str, subscriptions: Subscriptions) -> APIRouter:
    """Make the routes by which an operator lists, reads, replays and discards a service's dead letters."""
    from linli.service import Transactions  # noqa: PLC0415 it builds services with these routes

    routes = Router(prefix=f"/{service}/v1/dead-letters", tags=["dead letters"])

    @routes.get("", dependencies=[require("events.read")])
    async def list_dead_letters(
        sessions: Transactions,
        page: Paging,
        request: Request,
        response: Response,
        state: Annotated[_State | None, Query(description="What became of it; all without it (处理状态)")] = None,
    ) -> Paged[DeadLetterOut]:
        """List messages that could not be handled, newest first (死信列表)."""
        key = (DeadLetter.died_at.desc(), DeadLetter.id.desc())
        wanted = select(DeadLetter) if state is None else select(DeadLetter).where(_IN[state])
        rows, following = await page.of(sessions, wanted, key=key, request=request, response=response)
        return Paged(items=[DeadLetterOut.of(row) for row in rows], next=following)

    @routes.get("/{id}", dependencies=[require("events.read")])
    async def read_dead_letter(
        id: UUID,  # noqa: A002 as in the address
        sessions: Transactions,
    ) -> DeadLetterOut:
        """Read one message and why it could not be handled (死信详情)."""
        return DeadLetterOut.of(await _find(sessions, id))

    @routes.post("/{id}/replay", dependencies=[require("events.replay")])
    async def replay_dead_letter(
        id: UUID,  # noqa: A002 as in the address
        sessions: Transactions,
        request: Request,
    ) -> DeadLetterOut:
        """Have a message handled again; what was handled before is not done twice (重放死信)."""
        letter = await _find(sessions, id)
        try:
            event = read(letter.subject, letter.headers, letter.payload)
            await subscriptions.handle(request.app.state.sessions, [event])
        except Exception as error:
            raise ReplayFailed(error=describe(error)) from error
        letter.replayed_at = datetime.now(UTC)
        return DeadLetterOut.of(letter)

    @routes.post("/{id}/discard", dependencies=[require("events.replay")])
    async def discard_dead_letter(
        id: UUID,  # noqa: A002 as in the address
        sessions: Transactions,
    ) -> DeadLetterOut:
        """Say that a message will never be handled; it is kept, and counts no more (放弃死信)."""
        letter = await _find(sessions, id)
        letter.discarded_at = datetime.now(UTC)
        return DeadLetterOut.of(letter)

    return routes


async def _find(sessions: Sequence[AsyncSession], letter: UUID) -> DeadLetter:
    for session in sessions:
        found = await session.scalar(select(DeadLetter).where(DeadLetter.id == letter))
        if found is not None:
            return found
    raise NotFound(kind="dead letter", id=letter)
