"""The inside of an archive: documents, files and streams of bytes, one after the other, in a compressed tar.

A stream's size is not known when it begins, so it is cut into parts of a few MiB: nothing is kept on disk unencrypted.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, BinaryIO, Self

from linli_cli.console import Trouble

_PART = 4 * 2**20
_LARGEST_PART = 64 * 2**20
"""A part is written when it has reached its size, so it may be larger by what came last."""
_LARGEST_DOCUMENT = 16 * 2**20
_FAST = 1


class TapeWriter:
    """Writes an archive."""

    def __init__(self, target: BinaryIO) -> None:
        self._gzip = gzip.GzipFile(fileobj=target, mode="wb", compresslevel=_FAST, mtime=0)
        # Not as a stream: that would write on while it is thrown away after an error.
        self._tar = tarfile.open(fileobj=self._gzip, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 closed at exit

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:  # else it stays cut off, so that nobody takes it for whole
            self._tar.close()
            self._gzip.close()

    def document(self, name: str, content: object) -> None:
        """Write what becomes JSON."""
        self._add(f"{name}.json", json.dumps(content, ensure_ascii=False, indent=1).encode())

    def stream(self, name: str, suffix: str = "csv") -> "PartsWriter":
        """Begin a stream; it ends with the block."""
        return PartsWriter(lambda number, data: self._add(f"{name}/{number:06}.{suffix}", data))

    def file(self, name: str, content: bytes) -> None:
        """Write something small, as it is."""
        self._add(name, content)

    def _add(self, name: str, data: bytes | bytearray) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._tar.addfile(info, io.BytesIO(data))


class PartsWriter:
    """Cuts a stream into parts."""

    def __init__(self, add: Callable[[int, bytearray], None]) -> None:
        self._add = add
        self._number = 0
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()

    def write(self, data: bytes) -> None:
        """Write on."""
        self._buffer += data
        if len(self._buffer) >= _PART:
            self._flush()

    def _flush(self) -> None:
        self._number += 1
        self._add(self._number, self._buffer)
        self._buffer = bytearray()


class TapeReader:
    """Reads an archive in the order in which it was written, and nothing else.

    Args:
        source: what `TapeWriter` wrote.
    """

    def __init__(self, source: BinaryIO) -> None:
        try:
            # The caller closes the source.
            self._tar = tarfile.open(fileobj=gzip.GzipFile(fileobj=source), mode="r|")  # noqa: SIM115
        except (tarfile.TarError, OSError, EOFError) as error:
            raise damaged() from error
        self._next = self._advance()

    def document(self, name: str) -> Any:  # noqa: ANN401 what was JSON
        """Read a document.

        Raises:
            Trouble: when another thing stands here.
        """
        member = self._expect(f"{name}.json")
        if member.size > _LARGEST_DOCUMENT:
            raise damaged()
        try:
            found = json.loads(self._content(member))
        except ValueError as error:
            raise damaged() from error
        self._next = self._advance()
        return found

    def stream(self, name: str, suffix: str = "csv") -> Iterator[bytes]:
        """Read a stream, part by part.

        Raises:
            Trouble: when another thing stands here.
        """
        self._expect(f"{name}/000001.{suffix}")
        number = 1
        while self._next is not None and self._next.name == f"{name}/{number:06}.{suffix}":
            if self._next.size > _LARGEST_PART:
                raise damaged()
            yield self._content(self._next)
            self._next = self._advance()
            number += 1

    def files(self, folder: str) -> Iterator[tuple[str, bytes]]:
        """Read the files of a folder, as many as stand here, with their names in it."""
        while self._next is not None and self._next.name.startswith(f"{folder}/"):
            if self._next.size > _LARGEST_PART:
                raise damaged()
            yield self._next.name.removeprefix(f"{folder}/"), self._content(self._next)
            self._next = self._advance()

    def end(self) -> None:
        """Hold that nothing follows.

        Raises:
            Trouble: when something does.
        """
        if self._next is not None:
            raise damaged()

    def _expect(self, name: str) -> tarfile.TarInfo:
        if self._next is None or self._next.name != name:
            raise damaged()
        return self._next

    def _advance(self) -> tarfile.TarInfo | None:
        try:
            return self._tar.next()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise damaged() from error

    def _content(self, member: tarfile.TarInfo) -> bytes:
        try:
            file = self._tar.extractfile(member)
            data = file.read() if file else b""
        except (tarfile.TarError, OSError, EOFError) as error:
            raise damaged() from error
        if len(data) != member.size:
            raise damaged()
        return data


def damaged() -> Trouble:
    """Say that this is no whole archive."""
    return Trouble("The archive is damaged, cut off, or none of Linli's.", "归档已损坏、不完整，或不是邻里平台的归档。")
