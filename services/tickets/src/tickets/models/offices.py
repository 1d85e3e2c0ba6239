"""Who is in office (在岗), as the directory tells: who may be given a ticket."""

from typing import ClassVar, Final
from uuid import UUID

from sqlalchemy import Integer
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base
from tickets.models.moves import Level

STAFF: Final = "department_staff"
"""The role in which somebody answers for a department."""


class KnownAssignment(Base):
    """A copy of the directory's staff assignments: who may be given a ticket."""

    __tablename__ = "known_assignment"
    SUPERVISING: ClassVar = {
        Level.COMMUNITY: "community_manager",
        Level.STREET: "street_admin",
        Level.DISTRICT: "district_admin",
    }
    ANSWERING: ClassVar = frozenset({"grid_worker", STAFF, "community_manager", "street_admin", "district_admin"})

    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    unit: Mapped[int]
    staff: Mapped[UUID]
    role: Mapped[str]
    active: Mapped[bool]
    sequence: Mapped[int]
