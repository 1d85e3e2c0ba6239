"""The audit log (审计日志): who looked at whose data and why; rows can be added, never changed or removed unseen.

Rows name ids and fields, never values. Within a district each row's hash covers the row and the hash before it;
`audit_head` keeps the last one, so that a row missing at the end shows too. The database makes the chain itself,
in a trigger (`migrate.sql("audit")`), which no service can go around; `verify` computes it again here.

What a row's hash covers: the hash before it, then the JSON array
`[district, sequence, unit, microseconds, actor, client, action, purpose, subjects, fields]`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FetchedValue,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    func,
    insert,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from linli import units
from linli.models import Base
from linli.security import Principal

_START: Final = bytes(32)
# PostgreSQL's times go further than Python's, and to infinity, which no row was ever written at.
_MICROSECONDS: Final[ColumnElement[str | None]] = literal_column(
    "CASE WHEN isfinite(at) THEN trunc(extract(epoch FROM at) * 1000000)::text END"
)


class AuditRow(Base):
    """One act on personal data."""

    __tablename__ = "audit"
    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, FetchedValue(), primary_key=True)
    unit: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    actor: Mapped[UUID]
    client: Mapped[str]
    action: Mapped[str]
    purpose: Mapped[str | None] = mapped_column(Text)
    subjects: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text))
    previous: Mapped[bytes] = mapped_column(LargeBinary, FetchedValue())
    hash: Mapped[bytes] = mapped_column(LargeBinary, FetchedValue())


async def record(  # noqa: PLR0913 an act has this many sides
    session: AsyncSession,
    principal: Principal,
    action: str,
    *,
    unit: int,
    subjects: Sequence[UUID],
    fields: Sequence[str],
    purpose: str | None = None,
) -> None:
    """Add a row, in the transaction of the act; it holds the district's chain until that ends.

    Args:
        session: an open transaction that may write to `unit`.
        principal: who acts.
        action: what is done, e.g. `residents.reveal`.
        unit: where the subjects belong: whoever sees this unit sees the row.
        subjects: ids of the people concerned.
        fields: names of the fields seen or searched by.
        purpose: why, in the actor's words.
    """
    row = {
        "district": units.district(unit),
        "unit": unit,
        "actor": principal.id,
        "client": principal.client,
        "action": action,
        "purpose": purpose,
        "subjects": list(subjects),
        "fields": list(fields),
    }
    await session.execute(insert(AuditRow).values(row))


async def count(session: AsyncSession, principal: Principal, action: str, within: timedelta) -> int:
    """Count what a person did lately; exact when asked after `record`, which lets one at a time through."""
    recent = select(func.count()).where(
        AuditRow.district == principal.district,
        AuditRow.actor == principal.id,
        AuditRow.action == action,
        AuditRow.at > func.clock_timestamp() - within,
    )
    return int(await session.scalar(recent) or 0)


class AuditBroken(Exception):  # noqa: N818 it is what an auditor reports
    """The audit log of a district was tampered with; the message names the first row that does not fit."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A chain without a fault: its length, and its last hash to keep elsewhere and compare with later."""

    rows: int
    head: bytes


def _digest(row: Any) -> bytes:  # noqa: ANN401 a row of the table
    facts = [
        row.district,
        row.sequence,
        row.unit,
        row.microseconds and int(row.microseconds),
        str(row.actor),
        row.client,
        row.action,
        row.purpose,
        row.subjects and [str(subject) for subject in row.subjects],
        row.fields,
    ]
    return hashlib.sha256(row.previous + json.dumps(facts, ensure_ascii=False).encode()).digest()


async def verify(connection: AsyncConnection | AsyncSession, district: int) -> Verified:
    """Follow a district's chain from its first row to its head.

    Args:
        connection: sees the whole district.
        district: 6 digits.

    Raises:
        AuditBroken: at the first row that is altered, missing or added.
    """
    table = AuditRow.__table__
    read = [column for column in table.c if column is not table.c.at]
    sequence, previous = 0, _START
    rows = await connection.stream(
        select(*read, _MICROSECONDS.label("microseconds"))
        .where(table.c.district == district)
        .order_by(table.c.sequence),
        execution_options={"yield_per": 1000},
    )
    async for row in rows:
        sequence += 1
        if row.sequence != sequence:
            raise AuditBroken(f"row {sequence} of district {district} is missing (第 {sequence} 条缺失)")
        if row.previous != previous or row.hash != _digest(row):
            raise AuditBroken(f"row {sequence} of district {district} was altered (第 {sequence} 条被改动)")
        previous = row.hash
    head = (
        await connection.execute(text("SELECT sequence, hash FROM audit_head WHERE district = :d"), {"d": district})
    ).one_or_none()
    if (head.sequence, head.hash) != (sequence, previous) if head else sequence:
        raise AuditBroken(f"rows after {sequence} of district {district} are missing (第 {sequence} 条之后缺失)")
    return Verified(sequence, previous)
