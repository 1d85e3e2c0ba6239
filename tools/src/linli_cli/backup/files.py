"""Photos and files of tickets (附件) where backups are: each is sealed by itself and sent once, as it never changes.

An object is kept as `files/<its name>.<for whom>.<sha256>.age`. The digest is of what lies there, so whoever has no key
can tell whether it is still that. For another recipient all is sent anew. Each backup has a list of what it needs.
"""

import gzip
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

from rich.progress import Progress, TextColumn, TimeElapsedColumn

from linli_cli.archive import files
from linli_cli.archive.files import Object
from linli_cli.archive.places import Found, Place, at_once
from linli_cli.archive.seal import Key, Lock
from linli_cli.archive.stores import Stores
from linli_cli.archive.tape import damaged
from linli_cli.backup import contents
from linli_cli.backup.contents import Files, Receipt
from linli_cli.console import Trouble, err

_SEALED: Final = ".age"
_KEPT: Final = re.compile(r"(.+)\.([0-9a-f]{8})\.([0-9a-f]{64})")


class Kept(NamedTuple):
    """An object as it is kept.

    Attributes:
        name: the object's.
        sealed_for: the lock's fingerprint.
        sha256: of what lies there.
    """

    name: str
    sealed_for: str
    sha256: bytes

    def __str__(self) -> str:
        return f"{self.name}.{self.sealed_for}.{self.sha256.hex()}"

    @property
    def path(self) -> str:
        """Where it lies."""
        return f"{contents.FILES}/{self}{_SEALED}"

    def is_well(self, sealed: bytes) -> bool:
        """Tell whether this is what was written there."""
        return hashlib.sha256(sealed).digest() == self.sha256


def _parsed(text: str) -> Kept | None:
    found = _KEPT.fullmatch(text)
    return Kept(found[1], found[2], bytes.fromhex(found[3])) if found else None


def _kept(place: Place, folder: str = "") -> Iterator[tuple[Kept, Found]]:
    for found in place.listing(f"{contents.FILES}/{folder}".rstrip("/")):
        if kept := _parsed(found.name.removeprefix(f"{contents.FILES}/").removesuffix(_SEALED)):
            yield kept, found


class Sent(NamedTuple):
    """What became of an object.

    Attributes:
        kept: None when its content is nowhere, or is not as large as its row says.
        new: whether it was not there before.
    """

    name: str
    kept: Kept | None
    new: bool = False


def send(place: Place, lock: Lock, store: Place, some: list[Object]) -> Iterator[Sent]:
    """Keep objects, and pass over those that are kept already.

    Args:
        place: of backups.
        lock: for whom they are encrypted.
        store: of files.
        some: of one folder.
    """
    there = {one.name: one for one, _ in _kept(place, some[0].folder) if one.sealed_for == lock.fingerprint}
    return at_once(partial(_send, place, lock, store, there), some)


def _send(place: Place, lock: Lock, store: Place, there: Mapping[str, Kept], one: Object) -> Sent:
    if one.name in there:
        return Sent(one.name, there[one.name])
    content = store.find(one.name)
    if content is None or not one.is_as_large(len(content)):
        return Sent(one.name, None)
    sealed = lock.sealed(content)
    kept = Kept(one.name, lock.fingerprint, hashlib.sha256(sealed).digest())
    place.write(kept.path, sealed)
    return Sent(one.name, kept, new=True)


async def take(stores: Stores, place: Place, lock: Lock, name: str, began: datetime) -> Files:
    """Keep all objects that rows speak of, and the list of them, once the databases' moment has been.

    Args:
        stores: of the platform.
        place: of backups.
        lock: for whom they are encrypted.
        name: of the backup.
        began: when it did; what was removed since is in its databases still.
    """
    columns = (TextColumn("{task.description}"), TextColumn("{task.completed:,}"), TimeElapsedColumn())
    count = new = 0
    nowhere = set()
    with (
        Progress(*columns, console=err) as progress,
        place.writing(contents.list_of(name)) as target,
        gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as lines,
    ):
        task = progress.add_task("Files 附件", total=None)
        async for some in files.of_all(stores, began):
            for one in send(place, lock, stores.files, some):
                if one.kept:
                    lines.write(f"{one.kept}\n".encode())
                    count, new = count + 1, new + one.new
                else:
                    nowhere.add(one.name)
            progress.advance(task, len(some))
    lost = await files.still(files.of_all(stores), nowhere)
    return Files(count=count, new=new, sealed_for=lock.fingerprint, sha256=target.sha256, lost=lost)


def _needed(place: Place, receipt: Receipt) -> Iterator[Kept]:
    """Read the list of what a backup needs.

    Raises:
        Trouble: when it is not what was written.
    """
    if receipt.files is None:
        return
    content = place.read(receipt.list_of_files)
    if hashlib.sha256(content).hexdigest() != receipt.files.sha256:
        raise Trouble(
            f"{receipt.list_of_files} is not what was written there.", f"{receipt.list_of_files} 与写入内容不一致。"
        )
    with gzip.open(io.BytesIO(content), "rt") as lines:
        for line in lines:
            if (kept := _parsed(line.rstrip("\n"))) is None:
                raise damaged()
            yield kept


def check(place: Place, receipt: Receipt, key: Key | None) -> list[str]:
    """Read again what a backup needs, and all others that are there; name what is missing or altered.

    Args:
        place: of backups.
        receipt: of the backup.
        key: opens what is sealed for the same as the backup.

    Raises:
        Trouble: when the list was altered, or the key is another.
    """
    needed = {one.sha256 for one in _needed(place, receipt)}
    sealed_for = receipt.files.sealed_for if receipt.files else ""
    wrong = []

    def look(there: tuple[Kept, Found]) -> tuple[Kept, bool]:
        kept, found = there
        sealed = place.read(found.name)
        if key and kept.sealed_for == sealed_for and kept.is_well(sealed):
            key.opened(sealed)
        return kept, kept.is_well(sealed)

    for one, well in at_once(look, _kept(place)):
        if not well:
            wrong.append(one.name)
        needed.discard(one.sha256)
    return [*wrong, *(one.name for one in _needed(place, receipt) if needed and one.sha256 in needed)]


def prune(place: Place, kept: list[Receipt]) -> None:
    """Delete what no backup needs that is kept, nor any time between them.

    Args:
        place: of backups.
        kept: the receipts that are left.
    """
    needed = {one.sha256 for receipt in kept for one in _needed(place, receipt)}
    oldest = min(receipt.started_at for receipt in kept)
    # What came after the oldest was kept for times between two backups, and may have been removed before the next.
    old = [f.name for one, f in _kept(place) if f.written_at < oldest and one.sha256 not in needed]
    for _ in at_once(place.delete, old):
        pass


async def put_back(stores: Stores, place: Place, key: Key) -> int:
    """Put the objects that restored rows speak of back into the store of files, as far as they are kept, and whole.

    Args:
        stores: of the platform.
        place: of backups.
        key: opens them.

    Returns:
        How many.

    Raises:
        Trouble: when the key opens none of them.
    """
    count = 0
    refused: list[Trouble] = []
    async for some in files.of_all(stores):
        there = defaultdict(list)
        for one, _ in _kept(place, some[0].folder):
            there[one.name].append(one)
        count += sum(at_once(partial(_put_back, place, key, stores.files, there, refused), some))
    if refused and not count:
        raise refused[0]
    return count


def _put_back(  # noqa: PLR0913, PLR0917 from where and to where
    place: Place, key: Key, store: Place, there: Mapping[str, list[Kept]], refused: list[Trouble], one: Object
) -> bool:
    for kept in there.get(one.name, ()):
        sealed = place.find(kept.path)
        if sealed is None or not kept.is_well(sealed):
            continue
        try:
            content = key.opened(sealed)
        except Trouble as error:  # of a time when backups were for somebody else
            refused.append(error)
            continue
        if one.is_as_large(len(content)):
            store.write(one.name, content)
            return True
    return False
