"""Places with a QR code."""

import base64
import os
from typing import Final

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base, Placed, Versioned

_BYTES: Final = 10


def new_code() -> str:
    """Make up a code that nobody guesses: 80 bits in 16 letters and digits that are not mistaken for one another."""
    return base64.b32encode(os.urandom(_BYTES)).decode().lower()


class Place(Placed, Versioned, Base):
    """A door, a bin, a playground (点位) with a QR code, by which it is reported on.

    A code is good as long as it is the place's own and the place is active: a lost or misused sheet is put out of use
    by a new code or by ending the place.
    """

    __tablename__ = "place"
    __table_args__ = (UniqueConstraint("district", "code"), Index("ix_place_unit", "unit", "id"))

    name: Mapped[str]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    code: Mapped[str] = mapped_column(default=new_code)
    active: Mapped[bool] = mapped_column(default=True)

    def renew(self) -> None:
        """Give it a new code (换码); the old one leads nowhere from now on."""
        self.code = new_code()
