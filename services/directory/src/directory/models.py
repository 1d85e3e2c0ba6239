"""Tables of the directory: the unit tree, places in it, the people who staff it, and who may get a token."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Computed, Integer, LargeBinary, SmallInteger, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from linli.models import Base, Placed, Versioned


class Unit(Versioned, Base):
    """A unit (单元) of the tree; what it is and what it hangs under follow from its code, in the database too."""

    __tablename__ = "unit"

    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    parent: Mapped[int | None] = mapped_column(Computed("see migration", persisted=True))
    kind: Mapped[str] = mapped_column(Text, Computed("see migration", persisted=True))
    name: Mapped[str] = mapped_column(Text)
    active: Mapped[bool] = mapped_column(default=True)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, object]:  # noqa: N805 declared_attr is called on the class
        """Read generated columns back with the statement that changes them."""
        return {"version_id_col": cls.__table__.c.version, "eager_defaults": True}


class ResidentsGroup(Placed, Versioned, Base):
    """A residents' group (居民小组); it lies in one grid."""

    __tablename__ = "residents_group"

    name: Mapped[str] = mapped_column(Text)


class Building(Placed, Versioned, Base):
    """A building (楼栋); it lies in one micro-grid, and in the grid of its residents' group if it has one."""

    __tablename__ = "building"

    group_id: Mapped[UUID | None]
    name: Mapped[str] = mapped_column(Text)
    staircases: Mapped[int] = mapped_column(SmallInteger)
    active: Mapped[bool] = mapped_column(default=True)


class Staircase(Placed, Versioned, Base):
    """A staircase (楼组) of a building, with its head (楼组长); the database moves it along with its building."""

    __tablename__ = "staircase"

    building_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(SmallInteger)
    head: Mapped[UUID | None]


class Staff(Placed, Versioned, Base):
    """Somebody who works for the district; `unit` is the home unit, whose managers keep the record."""

    __tablename__ = "staff"

    name: Mapped[str] = mapped_column(Text)


class Identity(Base):
    """Whom a subject of an OIDC provider stands for: a person's id, the same whatever roles he has."""

    __tablename__ = "identity"

    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    issuer: Mapped[str] = mapped_column(Text, primary_key=True)
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    unit: Mapped[int]
    person: Mapped[UUID]


class Assignment(Placed, Versioned, Base):
    """A role (岗位) that a member of staff has at a unit, until it is ended."""

    __tablename__ = "assignment"

    staff: Mapped[UUID]
    role: Mapped[str] = mapped_column(Text)
    ended_at: Mapped[datetime | None]

    @property
    def active(self) -> bool:
        """Whether the role is held now."""
        return self.ended_at is None


class AppClient(Placed, Versioned, Base):
    """An OAuth2 client: a street's own app or system; only a hash of its secret is kept."""

    __tablename__ = "app_client"

    name: Mapped[str] = mapped_column(Text)
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    active: Mapped[bool] = mapped_column(default=True)


class Provider(Versioned, Base):
    """A district's OIDC provider (统一身份认证): whose word the token endpoint takes for who somebody is."""

    __tablename__ = "provider"

    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    unit: Mapped[int]
    issuer: Mapped[str] = mapped_column(Text)
    audience: Mapped[str] = mapped_column(Text)
    jwks: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    jwks_uri: Mapped[str | None] = mapped_column(Text)


class SigningKey(Base):
    """A key that signs access tokens from `active_from` until the next key's `active_from`."""

    __tablename__ = "signing_key"

    district: Mapped[int] = mapped_column(Integer, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    unit: Mapped[int]
    kid: Mapped[str] = mapped_column(Text)
    public: Mapped[dict[str, Any]] = mapped_column(JSONB)
    private: Mapped[bytes] = mapped_column(LargeBinary)
    active_from: Mapped[datetime]
