"""`linli restore`: a platform as it was, in an empty home; and its parts, for servers that run elsewhere."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from linli_cli.archive.places import Place
from linli_cli.archive.seal import Key
from linli_cli.backup import contents
from linli_cli.backup.contents import PRIMARY, Receipt
from linli_cli.backup.lay import Point, into_tar, lay
from linli_cli.backup.opened import Backup, write_secrets
from linli_cli.console import Trouble
from linli_cli.home import Home


def restore(  # noqa: PLR0913, PLR0917 one option each
    source: Annotated[
        str, typer.Argument(help="A folder or s3://bucket/prefix of backups, or one backup in it 备份位置")
    ],
    identity_file: Annotated[Path, typer.Option(help="A file with the private key 私钥文件", dir_okay=False)],
    at: Annotated[
        str | None,
        typer.Option(help="As all was at this time, with its zone; else as late as there is log 恢复到此时刻"),
    ] = None,
    patience: Annotated[int, typer.Option(min=60, help="Seconds to follow the log for 最长等待秒数")] = 7_200,
    secrets_to: Annotated[
        Path | None, typer.Option(help="Only write the secrets into this folder 仅取出密钥", file_okay=False)
    ] = None,
    server: Annotated[str, typer.Option(help="With --tar: which database server 数据库服务器")] = PRIMARY,
    *,
    tar: Annotated[
        bool, typer.Option("--tar", help="Only write a server's folder, as a tar, to standard output 仅输出数据目录")
    ] = False,
) -> None:
    """Restore a platform into an empty home; one backup that is named, without --at, as it was by itself 恢复平台."""
    key = Key.of(identity_file, None)
    place, receipt, point = chosen(source, _time(at) if at is not None else None)
    backup = Backup(place, receipt, key)
    if secrets_to:
        write_secrets(backup.secrets(), secrets_to)
    elif tar:
        lay(backup, server, point, into_tar(sys.stdout.buffer))
        sys.stdout.buffer.flush()
    else:
        home = Home.embedded()
        if home.inside:
            raise Trouble(
                "In containers a server's folder is written with --tar.", "容器内请使用 --tar。", hint="docs/backup.md"
            )
        from linli_cli.backup import embedded  # noqa: PLC0415 containers have no embedded stack

        embedded.restore(home, backup, point, patience)


def _time(word: str) -> datetime:
    try:
        found = datetime.fromisoformat(word)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        example = "2026-11-22T10:00:00+08:00"
        raise Trouble(f"Say the time with its zone, such as {example}.", f"请给出带时区的时间，例如 {example}。")
    return found


def chosen(source: str, at: datetime | None) -> tuple[Place, Receipt, Point]:
    """Tell which backup to begin with, and how far to follow the log.

    Raises:
        Trouble: when there is none from before that time.
    """
    if source.endswith(contents.ARCHIVE):
        folder, _, name = source.rstrip("/").rpartition("/")
        place = Place("." if folder == "base" else folder.removesuffix("/base"))
        receipt = contents.find(place, name.removesuffix(contents.ARCHIVE))
        there = [receipt]
    else:
        place = Place(source)
        receipt = contents.find(place, "")
        there = contents.own(place)
        if trouble := contents.unreadable(place):
            trouble.show()
    if at:
        if not (older := [one for one in there if one.finished_at <= at]):
            raise Trouble(
                f"The first backup ended at {there[0].finished_at:%F %T}Z; nothing can be restored from before it.",
                f"最早的备份完成于 {there[0].finished_at:%F %T}Z，无法恢复到更早时刻。",
            )
        receipt = older[-1]
    return place, receipt, Point(at, alone=at is None and source.endswith(contents.ARCHIVE))
