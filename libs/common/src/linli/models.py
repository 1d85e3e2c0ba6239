"""Base classes of tables: where a row belongs and how its changes are told apart."""

import os
import time
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, Computed, DateTime, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column


class _Ids:
    """Makes UUIDs of version 7, each greater than the one before, without a system call for each."""

    def __init__(self) -> None:
        self._last = 0
        self._random = b""

    def next(self) -> UUID:
        """Give the next: 48 bits of milliseconds, 12 of their fraction, 62 random ones (RFC 9562, 6.2, method 3)."""
        seconds, rest = divmod(time.time_ns(), 10**9)
        # In 4096ths of a millisecond; two in one of these are told apart by going on to the next.
        self._last = max(self._last + 1, (seconds * 1000 << 12) + (rest << 12) // 10**6)
        if not self._random:
            self._random = os.urandom(_AHEAD * 8)
        tail, self._random = int.from_bytes(self._random[:8], "big") >> 2, self._random[8:]
        return UUID(int=self._last >> 12 << 80 | 7 << 76 | (self._last & 0xFFF) << 64 | 2 << 62 | tail)


_AHEAD: Final = 64
_ids: Final = _Ids()


def uuid7() -> UUID:
    """Make an id that sorts by its time of birth (UUID version 7, RFC 9562)."""
    return _ids.next()


class Base(DeclarativeBase):
    """Declarative base with named constraints, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {int: BigInteger, datetime: DateTime(timezone=True)}  # noqa: RUF012 SQLAlchemy's API


class Placed:
    """A row that belongs to a unit; its key starts with the district, so that a district can move house."""

    district: Mapped[int] = mapped_column(Integer, primary_key=True, sort_order=-4)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-3)
    unit: Mapped[int] = mapped_column(sort_order=-2)

    @declared_attr
    def unit_grid(self) -> Mapped[int]:
        """The grid (网格) of the unit: what a grid worker's way of seeing filters by."""
        return mapped_column(Computed("unit - unit % 1000", persisted=True), sort_order=-1)


class Versioned:
    """A row whose every change is counted; the count is its ETag and its events' sequence."""

    version: Mapped[int] = mapped_column(sort_order=90)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, object]:  # noqa: N805 declared_attr is called on the class
        return {"version_id_col": cls.__table__.c.version if hasattr(cls, "__table__") else cls.version}


class KnownUnit(Base):
    """A copy of the directory's unit, fed by its events, for foreign keys that say "this unit exists"."""

    __tablename__ = "known_unit"
    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    active: Mapped[bool]
    sequence: Mapped[int]
