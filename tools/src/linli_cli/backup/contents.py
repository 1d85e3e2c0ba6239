"""What a backup is: an encrypted archive, and beside it a list of files and a receipt that says what they are.

Neither of the two holds a secret.
"""

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ValidationError

from linli_cli.archive.places import Place
from linli_cli.backup import reached, segments
from linli_cli.console import Trouble

PRIMARY: Final = "primary"
"""What the database server of the services' own settings is called; further ones have their `host:port`."""
ARCHIVE: Final = ".age"
RECEIPT: Final = ".json"
_LIST: Final = ".files.gz"
FILES: Final = "files"
_BASES: Final = "base"


class Server(BaseModel):
    """One database server's part.

    Attributes:
        system: PostgreSQL's number for it, which a restored one keeps; its log stands under that.
        pieces: of the log, which are in it; what follows the last is needed for a later time.
        rows: of each table, before and after: a restored one has as many, or some in between.
        ended_at: the position in the log; None when a version took it that did not say.
    """

    system: str
    pieces: list[str]
    rows: dict[str, tuple[int, int]]
    ended_at: int | None = None

    @property
    def timeline(self) -> int:
        """On which its log goes on."""
        return segments.timeline(self.pieces[-1])

    @property
    def end(self) -> int:
        """At which position in the log it ended; at the earliest, where that isn't known."""
        return self.ended_at or segments.number(self.pieces[-1]) * segments.SIZE


class Files(BaseModel):
    """The photos and files of tickets that a backup needs; they lie beside it, and others need them too.

    Attributes:
        count: how many objects, thumbnails among them.
        new: how many of them no backup had kept before.
        sealed_for: fingerprint of whom they are encrypted for.
        sha256: of the list of them.
        lost: objects that rows spoke of and whose content was nowhere.
    """

    count: int
    new: int
    sealed_for: str
    sha256: str
    lost: list[str]


class Receipt(BaseModel):
    """What is known of a backup without its key; without one, a backup was broken off and is none."""

    name: str
    version: str
    started_at: datetime
    finished_at: datetime
    size: int
    sha256: str
    secrets: bool
    servers: dict[str, Server]
    files: Files | None = None
    """None when it was taken by a version that kept none."""

    @property
    def archive(self) -> str:
        """Where its archive is."""
        return archive_of(self.name)

    @property
    def list_of_files(self) -> str:
        """Where the list of its files is."""
        return list_of(self.name)

    def server(self, name: str) -> Server:
        """Give a server's part.

        Raises:
            Trouble: when it has none of that name.
        """
        if name not in self.servers:
            raise Trouble(f"The backup is of {', '.join(self.servers)}, not of {name}.", f"备份中没有服务器 {name}。")
        return self.servers[name]


def header(name: str) -> dict[str, object]:
    """Give what an archive begins with."""
    return {"kind": "linli backup", "format": 1, "name": name}


def archive_of(name: str) -> str:
    """Tell where a backup's archive is."""
    return f"{_BASES}/{name}{ARCHIVE}"


def list_of(name: str) -> str:
    """Tell where the list of a backup's files is."""
    return f"{_BASES}/{name}{_LIST}"


def receipts(place: Place) -> list[Receipt]:
    """List the backups that are whole, the oldest first; `unreadable` names what is passed over."""
    return sorted((one for one in _read(place).values() if one), key=lambda one: one.finished_at)


def unreadable(place: Place) -> Trouble | None:
    """Name what looks like a backup's receipt and is none; None when there is nothing of that kind."""
    names = ", ".join(name for name, receipt in _read(place).items() if receipt is None)
    return Trouble(f"{names} is no receipt of a backup.", f"{names} 不是备份说明文件。") if names else None


def _read(place: Place) -> dict[str, Receipt | None]:
    return {name: _parsed(place.read(name)) for name in place.names(_BASES) if name.endswith(RECEIPT)}


def _parsed(content: bytes) -> Receipt | None:
    try:
        return Receipt.model_validate_json(content)
    except ValidationError:
        return None


def sweep(place: Place) -> None:
    """Delete what backups that were killed have left."""
    for where in (_BASES, FILES):
        place.sweep(where)


def write(place: Place, receipt: Receipt) -> None:
    """Write a receipt: from now on the backup counts."""
    place.write(f"{_BASES}/{receipt.name}{RECEIPT}", receipt.model_dump_json(indent=1).encode())


def delete(place: Place, receipt: Receipt) -> None:
    """Delete a backup; the receipt first, so that nobody takes what is left for one."""
    place.delete(f"{_BASES}/{receipt.name}{RECEIPT}")
    place.delete(receipt.archive)
    place.delete(receipt.list_of_files)


def missing(place: Place, receipt: Receipt) -> list[str]:
    """Name what of a backup is not there, or not as large as it was written; content is not read."""
    sizes = {found.name: found.size for found in place.listing(_BASES)}
    wrong = [] if sizes.get(receipt.archive) == receipt.size else [receipt.archive]
    return wrong if receipt.files is None or receipt.list_of_files in sizes else [*wrong, receipt.list_of_files]


def own(place: Place) -> list[Receipt]:
    """List the backups that lead to the log that is kept there, the oldest first.

    None is of a drill's copy of the platform, nor from after the time that it was restored to.
    """
    return [
        one
        for one in receipts(place)
        if not any(reached.passed(place, s.system, s.timeline, s.end, one.finished_at) for s in one.servers.values())
    ]


def find(place: Place, name: str) -> Receipt:
    """Find a backup by its name, or the platform's newest.

    Raises:
        Trouble: when there is none.
    """
    chosen = [one for one in receipts(place) if one.name == name] if name else own(place)
    if not chosen:
        raise unreadable(place) or Trouble(
            f"There is no backup {name} in {place.address}." if name else f"There is no backup in {place.address}.",
            f"{place.address} 中没有备份。",
            hint="linli backup list --to PLACE",
        )
    return chosen[-1]
