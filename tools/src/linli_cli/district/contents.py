"""What an exported district consists of, and how an archive of one is checked."""

import hashlib
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO, Final, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ValidationError

from linli_cli.archive.places import at_once
from linli_cli.archive.tape import TapeReader, damaged
from linli_cli.console import Trouble

FORMAT: Final = 2
MARK: Final = "district-import"
"""Stands as a consumer in the inbox of a service that has taken an archive in, in the transaction that did."""
FILES: Final = "files"
_WORDS: Final = "linli district"
# Whatever an archive says, nothing is written outside of its own district's folder.
_FILE: Final = re.compile(
    r"(?P<name>(?P<district>\d{6})/[0-9a-f]{2}/[0-9a-f-]{36}(\.[a-z]+)?)\.(?P<sha256>[0-9a-f]{64})"
)


class ServiceHeader(BaseModel):
    """A service's part of an archive.

    Attributes:
        revision: of its tables (alembic).
        tables: columns by table, in the order in which they follow.
    """

    revision: str
    tables: dict[str, list[str]]


class Header(BaseModel):
    """What stands at the beginning: all that must fit before anything is taken in.

    Attributes:
        kind: tells it from other archives.
        format: changes when an older version could not read it.
        id: of this export.
        services: in the order in which they were read: whoever listens before whom he listens to.
    """

    kind: str = _WORDS
    format: int = FORMAT
    id: UUID
    district: int
    name: str
    taken_at: datetime
    services: dict[str, ServiceHeader]


class TableSummary(BaseModel):
    """What was written of a table.

    Attributes:
        sha256: of its bytes in the archive.
        fingerprint: of its rows, by which they are compared in databases; none where rows come and go by themselves.
    """

    rows: int
    sha256: str
    fingerprint: str | None


class Summary(BaseModel):
    """What follows the tables of a service."""

    tables: dict[str, TableSummary]


class FilesSummary(BaseModel):
    """What follows the photos and files of tickets.

    Attributes:
        count: how many objects, thumbnails among them.
        size: of all of them, in bytes.
        lost: objects that rows speak of and whose content was nowhere.
    """

    count: int
    size: int
    lost: list[str]


class Contents(NamedTuple):
    """What an archive holds."""

    header: Header
    services: dict[str, Summary]
    files: FilesSummary


def read_header(tape: TapeReader) -> Header:
    """Read the beginning of an archive.

    Raises:
        Trouble: when it is none of a district, or written by a later version.
    """
    found = tape.document("header")
    if not isinstance(found, dict) or found.get("kind") != _WORDS:
        raise damaged()
    if found.get("format") != FORMAT:
        raise Trouble(
            f"The archive has format {found.get('format')}; this version reads {FORMAT}.",
            f"归档格式为 {found.get('format')}，此版本只支持 {FORMAT}。",
        )
    try:
        return Header.model_validate(found)
    except ValidationError as error:
        raise damaged() from error


def read_summary(tape: TapeReader, service: str) -> Summary:
    """Read what follows a service's tables."""
    try:
        return Summary.model_validate(tape.document(f"{service}/summary"))
    except ValidationError as error:
        raise damaged() from error


def read_files(tape: TapeReader, district: int, keep: Callable[[str, bytes], object]) -> FilesSummary:
    """Read the photos and files of tickets, each held to its digest, and what follows them.

    Args:
        tape: where they are next.
        district: whose they must be.
        keep: gets each object's name and content, eight at a time.

    Raises:
        Trouble: when they are not whole.
    """
    count = size = 0

    def act(one: tuple[str, bytes]) -> int:
        keep(*one)
        return len(one[1])

    for length in at_once(act, _files(tape, district)):
        count, size = count + 1, size + length
    try:
        summary = FilesSummary.model_validate(tape.document(FILES))
    except ValidationError as error:
        raise damaged() from error
    if (count, size) != (summary.count, summary.size):
        raise damaged()
    return summary


def _files(tape: TapeReader, district: int) -> Iterator[tuple[str, bytes]]:
    for name, content in tape.files(FILES):
        found = _FILE.fullmatch(name)
        if not found or int(found["district"]) != district:
            raise damaged()
        if hashlib.sha256(content).hexdigest() != found["sha256"]:
            raise damaged()
        yield found["name"], content


class Digested:
    """Passes bytes on and keeps their digest."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._digest.update(chunk)
            yield chunk

    def check(self, wanted: str) -> None:
        """Hold the bytes to what they were.

        Raises:
            Trouble: when they are others.
        """
        if self._digest.hexdigest() != wanted:
            raise damaged()


def verify(source: BinaryIO) -> Contents:
    """Read a whole archive and hold every part of it to its digest.

    Args:
        source: decrypted.

    Raises:
        Trouble: when it is not whole.
    """
    tape = TapeReader(source)
    header = read_header(tape)
    kept = read_files(tape, header.district, lambda *_: None)
    summaries = {}
    for service, part in header.services.items():
        digests = {}
        for table in part.tables:
            digests[table] = Digested(tape.stream(f"{service}/{table}"))
            for _ in digests[table]:
                pass
        summaries[service] = read_summary(tape, service)
        if summaries[service].tables.keys() != digests.keys():
            raise damaged()
        for table, digest in digests.items():
            digest.check(summaries[service].tables[table].sha256)
    tape.document("end")
    tape.end()
    return Contents(header, summaries, kept)
