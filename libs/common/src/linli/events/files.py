"""What tickets tell of photos and files (附件)."""

from uuid import UUID

from linli.events import Code, Event


class FileChanged(Event, type="tickets.file_changed.v1", aggregate="file"):
    """A file was added to a ticket, or taken away from it.

    Attributes:
        reporter: of the ticket.
        assignee: who has it.
        kind: `jpeg`, `png`, `webp` or `pdf`.
        size: bytes that are kept.
        step: `added` or `removed`.
        changed_by: who did so.
    """

    file: UUID
    ticket: UUID
    reporter: UUID
    assignee: UUID | None = None
    kind: Code
    size: int
    step: Code
    changed_by: UUID
