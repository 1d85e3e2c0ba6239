"""Tables as they are read; migrations/tables.sql says what each is for."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Computed, Float, Integer, LargeBinary, SmallInteger, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base

KEEP_DAYS: Final = 7
ALL: Final = 0
"""The district under which traces and counts of all districts together are kept."""


class Kind:
    """What a span is, as OTLP numbers it."""

    INTERNAL: Final = 1
    SERVER: Final = 2
    CLIENT: Final = 3
    PRODUCER: Final = 4
    CONSUMER: Final = 5
    NAMES: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


class Span(Base):
    """A piece of work of one service."""

    __tablename__ = "span"
    trace_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    span_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    parent_id: Mapped[bytes | None] = mapped_column(LargeBinary)
    service: Mapped[str]
    instance: Mapped[str]
    name: Mapped[str]
    kind: Mapped[int] = mapped_column(SmallInteger)
    started_at: Mapped[datetime]
    duration: Mapped[float] = mapped_column(Float)
    error: Mapped[bool]
    status_message: Mapped[str]
    district: Mapped[int] = mapped_column(Integer)
    subject: Mapped[UUID | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    events: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)


class Log(Base):
    """A line that a service wrote while it worked on a trace."""

    __tablename__ = "log"
    trace_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    span_id: Mapped[bytes | None] = mapped_column(LargeBinary)
    service: Mapped[str]
    level: Mapped[str]
    logger: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    district: Mapped[int] = mapped_column(Integer)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Trace(Base):
    """What is known of a trace by those who see one district's part of it, or (district 0) all of it."""

    __tablename__ = "trace"
    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    trace_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    duration: Mapped[float] = mapped_column(Float, Computed("", persisted=True))
    began_at: Mapped[datetime | None]
    """When its first request, message or timer began; None while only statements of it have come in."""
    service: Mapped[str]
    operation: Mapped[str]
    spans: Mapped[int] = mapped_column(Integer)
    errors: Mapped[int] = mapped_column(Integer)
    redeliveries: Mapped[int] = mapped_column(Integer)
    services: Mapped[list[str]] = mapped_column(ARRAY(Text))
    operations: Mapped[list[str]] = mapped_column(ARRAY(Text))
    """Service and operation, with a space between, of what can be looked for."""
    home: Mapped[int] = mapped_column(Integer)
    place: Mapped[int | None]
    """The unit it speaks of."""
    subject: Mapped[UUID | None]


class Activity(Base):
    """How often an operation took about so long in a minute."""

    __tablename__ = "activity"
    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    operation: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    bucket: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    count: Mapped[int]
    errors: Mapped[int]
