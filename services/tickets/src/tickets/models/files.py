"""Photos and files of tickets."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from linli.models import Base, Placed, Versioned
from linli.problems import Conflict, Problem
from tickets.models.moves import NotYours
from tickets.pictures import Kind

MOST: Final = 20
"""How many a ticket may have."""


class TooManyFiles(Conflict):
    """A ticket may have at most {most} files. Remove one that is of no use."""

    title_zh = "附件过多"
    detail_zh = "每张工单最多 {most} 个附件，请先删除不需要的附件。"


class FileRemoved(Problem):
    """The file was removed at {removed_at}; that it was there is all that is kept."""

    status = 410
    title_zh = "附件已删除"
    detail_zh = "该附件已于 {removed_at} 删除，仅保留记录。"


class File(Placed, Versioned, Base):
    """A photo or document of a ticket (附件). Its content lies in the store of files; without that there is no row.

    `slot` counts a ticket's files from 1 to 20, so that not even those who come at the same time add a 21st.
    """

    __tablename__ = "ticket_file"
    __table_args__ = (
        ForeignKeyConstraint(["district", "ticket_id"], ["ticket.district", "ticket.id"]),
        UniqueConstraint("district", "ticket_id", "slot"),
    )

    ticket_id: Mapped[UUID]
    reporter: Mapped[UUID]
    slot: Mapped[int | None] = mapped_column(SmallInteger)
    uploader: Mapped[UUID]
    kind: Mapped[str]
    size: Mapped[int]
    width: Mapped[int | None]
    height: Mapped[int | None]
    added_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    removed_by: Mapped[UUID | None]

    @property
    def media_type(self) -> str:
        """What HTTP calls it."""
        return Kind(self.kind).media_type

    @property
    def object_name(self) -> str:
        """What it is called in the store of files."""
        return object_name(self.district, self.id)

    def must_be_there(self) -> None:
        """Refuse what needs its content.

        Raises:
            FileRemoved: 410.
        """
        if self.removed_at:
            raise FileRemoved(removed_at=self.removed_at.isoformat(timespec="seconds"))

    def remove(self, actor: UUID, *, staff: bool) -> None:
        """Take its content away: whoever added it, or staff.

        Raises:
            FileRemoved: 410.
            NotYours: 403.
        """
        self.must_be_there()
        if actor != self.uploader and not staff:
            raise NotYours(who="who added the file (上传者)", move="remove", permission="uploader")
        self.slot, self.removed_at, self.removed_by = None, datetime.now(UTC), actor


def object_name(district: int, file_id: UUID) -> str:
    """Name a file in the store: by district, as these may move, and in 256 folders."""
    return f"{district}/{file_id.hex[-2:]}/{file_id}"
