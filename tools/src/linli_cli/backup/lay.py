"""A database server's folder as it lay: its files, the log that came after them, and how far to follow it."""

import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from linli_cli.archive.places import Place
from linli_cli.backup import base, segments, wal
from linli_cli.backup.contents import Server
from linli_cli.backup.opened import Backup
from linli_cli.console import Trouble

Member = tuple[tarfile.TarInfo, BinaryIO | None]

_SETTINGS: Final = "postgresql.auto.conf"
_RECOVERY: Final = ("restore_command", "recovery_target")
_CHUNK: Final = 2**20


@dataclass(frozen=True)
class Point:
    """How far the log is followed.

    Attributes:
        at: to this time; None is as far as it goes.
        alone: no farther than the backup itself.
    """

    at: datetime | None = None
    alone: bool = False

    def settings(self, line: int) -> list[str]:
        """Give the server's settings; all of the log lies in its folder, so there is nothing to fetch.

        Args:
            line: the timeline to follow: by itself PostgreSQL takes the newest that it finds, be it a copy's.
        """
        lines = ["restore_command = 'false'", "recovery_target_action = 'promote'"]
        if self.at:
            lines.append(f"recovery_target_time = '{self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'")
        elif self.alone:
            lines.append("recovery_target = 'immediate'")
        return [*lines, f"recovery_target_timeline = '{line}'"]


def lay(backup: Backup, server: str, point: Point, write: Callable[[Iterable[Member]], None]) -> None:
    """Give all that belongs into a server's folder to whoever writes it.

    Raises:
        Trouble: when the backup or a piece of the log is damaged, a piece is missing, or it can't be written.
    """
    backup.receipt.server(server)

    def act(name: str, dump: BinaryIO) -> None:
        if name == server:
            try:
                write(_members(dump, point, backup, backup.receipt.server(server)))
            except OSError as error:
                raise Trouble(
                    f"What is restored can't be written: {error.strerror}.", f"恢复的数据无法写入：{error.strerror}。"
                ) from error

    backup.each(act)


def _members(dump: BinaryIO, point: Point, backup: Backup, server: Server) -> Iterator[Member]:
    line = server.timeline if point.alone else wal.lines(backup.place, server, point.at)[-1]
    log = _log(backup.place, server, point)
    settings = b""
    for member, file in base.members(dump):
        if member.name == _SETTINGS and file:
            settings = file.read()
        else:
            yield member, file
    lines = [line for line in settings.decode().splitlines() if not line.startswith(_RECOVERY)]
    yield _new(_SETTINGS, "\n".join([*lines, *point.settings(line), ""]).encode())
    yield _new("recovery.signal", b"")
    for name in log:
        # The last piece that the backup has is there once more, and goes on.
        content = wal.fetch(backup.place, server.system, name, backup.key)
        yield _new(f"pg_wal/{name.removesuffix(segments.PARTIAL)}", content)


def _log(place: Place, server: Server, point: Point) -> list[str]:
    names = wal.names(place, server.system)
    # Those of copies, too: a new timeline must not be one that is there already.
    histories = [name for name in names if name.endswith(segments.HISTORY)]
    if point.alone:
        return histories
    if gap := wal.gap(place, server, point.at):
        raise Trouble(
            f"Of the log {len(gap)} pieces are missing, from {gap[0]} on; a later backup does without them.",
            f"日志缺失 {len(gap)} 段（自 {gap[0]} 起），请改用更晚的备份。",
            hint="linli backup list --to PLACE",
        )
    return [*histories, *wal.later(place, server, point.at)]


def _new(name: str, content: bytes) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    return info, io.BytesIO(content)


def into_folder(folder: Path) -> Callable[[Iterable[Member]], None]:
    """Write a server's folder.

    Args:
        folder: is there, and empty.
    """

    def write(members: Iterable[Member]) -> None:
        for member, file in members:
            path = folder / member.name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise Trouble(f"{member.name} would lie elsewhere.", "归档内容路径异常。")
            if member.isdir():
                path.mkdir(mode=0o700, exist_ok=True)
            elif file:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                with os.fdopen(
                    os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, stat.S_IRUSR | stat.S_IWUSR), "wb"
                ) as target:
                    while data := file.read(_CHUNK):
                        target.write(data)
            else:
                raise Trouble(f"{member.name} is a link: tablespaces elsewhere are not restored.", "不支持表空间链接。")

    return write


def into_tar(target: BinaryIO) -> Callable[[Iterable[Member]], None]:
    """Write a server's folder as a tar, for a server whose folder is not within reach."""

    def write(members: Iterable[Member]) -> None:
        with tarfile.open(fileobj=target, mode="w|") as tar:
            for member, file in members:
                tar.addfile(member, file)

    return write
