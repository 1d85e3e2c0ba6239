"""What is kept for Open311: keys of apps, and which updates they have sent."""

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base, Placed, Versioned
from linli.problems import Conflict, Forbidden, Problem
from linli.security import Principal

_BYTES: Final = 32


class ArgumentMissing(Problem):
    """{name} was not provided."""

    status = 400
    title_zh = "缺少参数"
    detail_zh = "未提供 {name}。"


class ArgumentUnknown(Problem):
    """{name} provided was not found."""

    status = 404
    title_zh = "参数所指不存在"
    detail_zh = "所提供的 {name} 不存在。"


class ArgumentInvalid(Problem):
    """{name} can't be taken: {reason}."""

    status = 400
    title_zh = "参数无效"
    detail_zh = "参数 {name} 无效：{reason}。"


class ApiKeyInvalid(Forbidden):
    """api_key is missing, unknown, revoked, or not for this jurisdiction."""

    title_zh = "api_key 无效"
    detail_zh = "api_key 缺失、无效、已吊销，或不适用于该辖区。"


class KeyRevoked(Conflict):
    """The key was revoked at {revoked_at}."""

    title_zh = "密钥已吊销"
    detail_zh = "该密钥已于 {revoked_at} 吊销。"


class Key(Placed, Versioned, Base):
    """The key of an app that reports through Open311 (接入密钥), good in a unit; only its hash is known here.

    Its id stands for the app: whatever the app reports, its key has reported.
    """

    __tablename__ = "open311_key"
    __table_args__ = (UniqueConstraint("district", "digest"),)

    name: Mapped[str]
    digest: Mapped[bytes]
    made_by: Mapped[UUID]
    made_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)

    def revoke(self) -> None:
        """Let it open nothing from now on.

        Raises:
            KeyRevoked: 409, when it was before.
        """
        if self.revoked_at:
            raise KeyRevoked(revoked_at=self.revoked_at.isoformat(timespec="seconds"))
        self.revoked_at = datetime.now(UTC)

    def acting(self, unit: int) -> Principal:
        """Give who acts with it in a jurisdiction."""
        return Principal(id=self.id, client="open311", roles=frozenset({"app"}), unit=unit, grids=())


def new_key() -> str:
    """Make up a key."""
    return f"lk_{secrets.token_urlsafe(_BYTES)}"


def digest_of(key: str) -> bytes:
    """Hash a key; plainly, as there is nothing to guess in 32 random bytes."""
    return hashlib.sha256(key.encode()).digest()


class Update(Placed, Base):
    """A word that an app has added to its ticket; its id is that of the step in the ticket's trail.

    Attributes:
        update_id: the app's own number of it: sent again, it has no further effect.
        digest: of what it said.
    """

    __tablename__ = "open311_update"
    __table_args__ = (
        ForeignKeyConstraint(["district", "ticket_id"], ["ticket.district", "ticket.id"]),
        ForeignKeyConstraint(["district", "key_id"], ["open311_key.district", "open311_key.id"]),
        UniqueConstraint("district", "key_id", "update_id"),
    )

    ticket_id: Mapped[UUID]
    key_id: Mapped[UUID]
    update_id: Mapped[str]
    digest: Mapped[bytes]
    at: Mapped[datetime]
