"""What a district says of its own days (工作日历)."""

from datetime import date
from uuid import UUID

from sqlalchemy import Date, Integer
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base, Versioned


class WorkDay(Versioned, Base):
    """A day that is worked, or is not, whatever the country's holidays say."""

    __tablename__ = "work_calendar"

    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    unit: Mapped[int]
    working: Mapped[bool]
    note: Mapped[str]


class DistrictRules(Base):
    """Which revision of its categories and its calendar a district has; a copy in memory is held against it."""

    __tablename__ = "district_rules"

    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    unit: Mapped[int]
    revision: Mapped[UUID]
