"""Tables of the residents service: the people of a district, the households they form, the buildings they live in."""

from datetime import date, datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import FetchedValue, LargeBinary, SmallInteger, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from linli import crypto
from linli.crypto import DistrictKeys, Field
from linli.models import Base, Placed, Versioned

ELDERLY: Final = 60
"""Age from which the law on elders' rights (老年人权益保障法) counts somebody as elderly."""

PHONE: Final = Field("resident", "phone", crypto.phone_digits)
ID_NUMBER: Final = Field("resident", "id_number", crypto.id_number_form)

Gender = Literal["female", "male"]


def elderly_born_until(today: date) -> date:
    """Give the last day of birth of those who are elderly today."""
    return today.replace(year=today.year - ELDERLY)


class KnownBuilding(Placed, Base):
    """A copy of the directory's building (楼栋), fed by its events."""

    __tablename__ = "known_building"

    name: Mapped[str] = mapped_column(Text)
    active: Mapped[bool]
    sequence: Mapped[int]


class Household(Placed, Base):
    """A household (户): a door of a building and who is registered behind it.

    Its unit is its building's and moves along with it; how many live there is kept by the database.
    """

    __tablename__ = "household"

    building_id: Mapped[UUID]
    staircase: Mapped[int | None] = mapped_column(SmallInteger)
    door: Mapped[str] = mapped_column(Text)
    residents: Mapped[int] = mapped_column(SmallInteger, FetchedValue())
    living: Mapped[int] = mapped_column(SmallInteger, FetchedValue())
    youngest_born_on: Mapped[date | None] = mapped_column(FetchedValue())

    @property
    def occupied(self) -> bool:
        """Whether somebody really lives here (实住)."""
        return self.living > 0

    @property
    def living_alone(self) -> bool:
        """Whether one person lives here alone (独居)."""
        return self.living == 1

    def all_elderly(self, today: date) -> bool:
        """Whether everybody who lives here is 60 or older (纯老)."""
        return self.youngest_born_on is not None and self.youngest_born_on <= elderly_born_until(today)


class Resident(Placed, Versioned, Base):
    """A person registered in a household; phone and ID number are encrypted and found by blind index."""

    __tablename__ = "resident"

    household_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    gender: Mapped[str] = mapped_column(Text)
    born_on: Mapped[date]
    lives_here: Mapped[bool]
    phone_cipher: Mapped[bytes | None] = mapped_column(LargeBinary)
    phone_index: Mapped[bytes | None] = mapped_column(LargeBinary)
    id_number_cipher: Mapped[bytes | None] = mapped_column(LargeBinary)
    id_number_index: Mapped[bytes | None] = mapped_column(LargeBinary)
    registered_at: Mapped[datetime] = mapped_column(server_default=func.now())

    def set_phone(self, keys: DistrictKeys, phone: str | None) -> None:
        """Encrypt a phone number, or forget it."""
        self.phone_cipher = None if phone is None else keys.seal(PHONE, self.id, phone)
        self.phone_index = None if phone is None else keys.index(PHONE, phone)

    def set_id_number(self, keys: DistrictKeys, id_number: str | None) -> None:
        """Encrypt an ID number, or forget it."""
        self.id_number_cipher = None if id_number is None else keys.seal(ID_NUMBER, self.id, id_number)
        self.id_number_index = None if id_number is None else keys.index(ID_NUMBER, id_number)
