"""Photos and files over HTTP."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from linli.schemas import Out
from tickets.pictures import Kind


class FileOut(Out):
    """A photo or document of a ticket; one that was removed has its row, and no content."""

    id: UUID
    ticket_id: UUID
    kind: Kind
    media_type: str
    size: int = Field(description="Bytes of what is kept (字节数)")
    width: int | None
    height: int | None
    uploader: UUID
    added_at: datetime
    removed_at: datetime | None
    removed_by: UUID | None
    version: int
