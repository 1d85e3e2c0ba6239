"""Where backups, and the photos and files of tickets, are kept: a folder, or a bucket of any S3-compatible store."""

import hashlib
import io
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol, TypeVar

import obstore
from obstore.exceptions import BaseError, NotFoundError

from linli.objects import open_objects
from linli_cli.console import Trouble

Item = TypeVar("Item")
Result = TypeVar("Result")

_PART: Final = 32 * 2**20
"""S3 takes 10,000 parts of one object, so this allows 320 GB."""
_PARTS_AT_ONCE: Final = 2
_AT_ONCE: Final = 8
_BUFFER: Final = 4 * 2**20
_DRAFT: Final = "#0"
"""A name that the store does not list."""
_ABANDONED: Final = 86_400


class Writable(Protocol):
    """What can be written to."""

    def write(self, data: bytes, /) -> object:
        """Write on."""


class Found(NamedTuple):
    """Something that is there.

    Attributes:
        size: in bytes.
    """

    name: str
    size: int
    written_at: datetime


class Place:
    """A folder, or a prefix in a bucket: things have names there, and are there whole or not at all.

    Args:
        address: of a folder, or `s3://bucket/prefix`. Keys and endpoint of S3 come from the usual `AWS_...` variables.
        make: whether a folder is made that is not there.

    Raises:
        Trouble: when it is neither.
    """

    def __init__(self, address: str, *, make: bool = False) -> None:
        self.address = address.rstrip("/")
        try:
            self._store, self._folder = open_objects(address, make=make)
        except ValueError as error:
            raise Trouble(
                f"{address} is neither a folder nor s3://bucket/prefix.", f"{address} 既不是目录也不是 s3:// 地址。"
            ) from error
        except (OSError, BaseError) as error:
            raise self._trouble(error) from error

    def names(self, prefix: str = "") -> list[str]:
        """List what is there, in order.

        Args:
            prefix: whole parts of a path.
        """
        return sorted(one.name for one in self.listing(prefix))

    def listing(self, prefix: str = "") -> Iterator[Found]:
        """List what is there with what is known of it, in no order.

        Args:
            prefix: whole parts of a path.
        """
        with self._reached():
            for some in obstore.list(self._store, prefix or None):
                for one in some:
                    yield Found(str(one["path"]), one["size"], one["last_modified"])

    def has(self, name: str) -> bool:
        """Tell whether something is there."""
        with self._reached():
            try:
                obstore.head(self._store, name)
            except (FileNotFoundError, NotFoundError):
                return False
            return True

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """Open what is there.

        Raises:
            Trouble: when it is not.
        """
        with self._reached():
            source = obstore.open_reader(self._store, name, buffer_size=_BUFFER)
        with io.BufferedReader(_Reader(source, self)) as file:
            yield file

    def read(self, name: str) -> bytes:
        """Read something small."""
        with self._reached():
            return bytes(obstore.get(self._store, name).bytes())

    def find(self, name: str) -> bytes | None:
        """Read something small that may be there."""
        with self._reached(), suppress(FileNotFoundError, NotFoundError):
            return bytes(obstore.get(self._store, name).bytes())
        return None

    @contextmanager
    def writing(self, name: str) -> Iterator["Digest"]:
        """Write something large; it is there when the block has ended well, and else never was."""
        with self._reached():
            if self._folder:
                with self._drafted(self._folder / name) as file:
                    yield Digest(file)
            else:
                writer = obstore.open_writer(self._store, name, buffer_size=_PART, max_concurrency=_PARTS_AT_ONCE)
                yield Digest(writer)
                writer.close()  # not after an error: what was not completed is nothing

    def write(self, name: str, content: bytes) -> None:
        """Write something small, over what is there."""
        with self._reached():
            if self._folder:
                with self._drafted(self._folder / name) as file:
                    file.write(content)
            else:
                obstore.put(self._store, name, content)

    def delete(self, name: str) -> None:
        """Delete what may be there."""
        with self._reached():
            try:
                obstore.delete(self._store, name)
            except (FileNotFoundError, NotFoundError):
                return

    def clear(self, prefix: str) -> int:
        """Delete all that is there; give how much that was.

        Args:
            prefix: whole parts of a path.
        """
        return sum(1 for _ in at_once(self.delete, self.names(prefix)))

    def sweep(self, prefix: str) -> None:
        """Delete what a write that was killed more than a day ago has left; a bucket ends such writes by its own rules.

        Args:
            prefix: whole parts of a path.
        """
        with self._reached():
            for draft in (self._folder / prefix).rglob(f"*{_DRAFT}") if self._folder else ():
                with suppress(FileNotFoundError):  # another's, which has just ended
                    if time.time() - draft.stat().st_mtime > _ABANDONED:
                        draft.unlink()

    @contextmanager
    def _drafted(self, file: Path) -> Iterator[BinaryIO]:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(file.name + _DRAFT)
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
                yield target
                target.flush()
                os.fsync(target.fileno())
            draft.replace(file)
            folder = os.open(file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (OSError, BaseError) as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> Trouble:
        # The first line: what follows may be a whole answer of the store's.
        words = str(error).strip().partition("\n")[0]
        return Trouble(f"{self.address} can't be read or written: {words}", f"存储位置 {self.address} 无法读写。")


def at_once(act: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Do something with each, eight at a time, as what is far away takes time to answer.

    Returns:
        What came of them, in their order; no more than eight are ever in memory.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        begun: deque[Future[Result]] = deque()
        for item in items:
            if len(begun) == _AT_ONCE:
                yield begun.popleft().result()
            begun.append(pool.submit(act, item))
        while begun:
            yield begun.popleft().result()


class _Reader(io.RawIOBase):
    """Gives what the store's reader gives as bytes."""

    def __init__(self, source: "obstore.ReadableFile", place: Place) -> None:
        self._source = source
        self._place = place

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with self._place._reached():  # noqa: SLF001 its own
            data = self._source.read(len(buffer))
        size = len(data)
        buffer[:size] = memoryview(data)
        return size


class Digest:
    """Counts and digests what is written."""

    def __init__(self, target: Writable) -> None:
        self._target = target
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The digest of what was written so far."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> int:
        """Write on."""
        data = bytes(data)
        self._digest.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: whoever owns the target ends it."""
