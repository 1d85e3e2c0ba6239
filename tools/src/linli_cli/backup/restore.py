"""`linli restore`: a platform as it was, in an empty home; and its parts, for servers that run elsewhere."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import asyncpg
import typer
from rich.table import Table

from linli_cli.archive.seal import Key
from linli_cli.archive.stores import Stores
from linli_cli.backup import contents, proof
from linli_cli.backup.contents import PRIMARY, Receipt
from linli_cli.backup.lay import Point, into_folder, into_tar, lay
from linli_cli.backup.opened import Backup
from linli_cli.backup.places import Place
from linli_cli.console import Trouble, err, out, step
from linli_cli.home import APPS, Home
from linli_cli.stack import database
from linli_cli.stack.logs import tail
from linli_cli.stack.ports import orphans, require_free
from linli_cli.stack.supervisor import MARK, Supervisor
from linli_cli.stack.up import FIRST_RUN, alone

_STOP_WITHIN: Final = 60
_LINES: Final = 12
_NOT_REACHED: Final = "recovery ended before configured recovery target was reached"


def restore(  # noqa: PLR0913, PLR0917 one option each
    source: Annotated[
        str, typer.Argument(help="A folder or s3://bucket/prefix of backups, or one backup in it 备份位置")
    ],
    identity_file: Annotated[Path, typer.Option(help="A file with the private key 私钥文件", dir_okay=False)],
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M%z"],
            help="As all was at this time, with its zone; else as late as there is log 恢复到此时刻",
        ),
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
    place, receipt, point = chosen(source, at)
    backup = Backup(place, receipt, key)
    if secrets_to:
        _write_secrets(backup.secrets(), secrets_to)
    elif tar:
        lay(backup, server, point, into_tar(sys.stdout.buffer))
        sys.stdout.buffer.flush()
    else:
        home = Home.embedded()
        if home.inside:
            raise Trouble(
                "In containers a server's folder is written with --tar.", "容器内请使用 --tar。", hint="docs/backup.md"
            )
        _restore(home, backup, point, patience)


def chosen(source: str, at: datetime | None) -> tuple[Place, Receipt, Point]:
    """Tell which backup to begin with, and how far to follow the log.

    Raises:
        Trouble: when there is none from before that time, or a time has no zone.
    """
    if at and at.tzinfo is None:
        raise Trouble("Say the time with its zone, such as 2026-11-22T10:00:00+08:00.", "请给出带时区的时间。")
    if source.endswith(contents.ARCHIVE):
        folder, _, name = source.rstrip("/").rpartition("/")
        place = Place("." if folder == "base" else folder.removesuffix("/base"))
        receipt = contents.find(place, name.removesuffix(contents.ARCHIVE))
        there = [receipt]
    else:
        place = Place(source)
        receipt = contents.find(place, "")
        there = contents.receipts(place)
    if at:
        if not (older := [one for one in there if one.finished_at <= at]):
            raise Trouble(
                f"The first backup ended at {there[0].finished_at:%F %T}Z; nothing can be restored from before it.",
                f"最早的备份完成于 {there[0].finished_at:%F %T}Z，无法恢复到更早时刻。",
            )
        receipt = older[-1]
    return place, receipt, Point(at, alone=at is None and source.endswith(contents.ARCHIVE))


def _restore(home: Home, backup: Backup, point: Point, patience: int) -> None:
    from linli.bootstrap import provision  # noqa: PLC0415 slow to load

    home.create()
    with alone(home):
        _must_be_empty(home)
        _write_secrets(backup.secrets(), home.secrets)
        if not all((home.secrets / name).exists() for name in ("master_key", "postgres")):
            raise Trouble(
                "The backup holds no secrets: put the platform's own into its home first.",
                "备份不含密钥，请先放回平台的 secrets 目录。",
                hint=str(home.secrets),
            )
        with step(f"Files and log of {backup.receipt.name}", "数据文件与日志已就位"):
            _lay(home, backup, point)
        try:
            with _postgres(home) as process:
                with step("The log was followed", "日志已回放"):
                    until = asyncio.run(_recovered(home, process, patience))
                with step("Tables are up to date", "数据表已是最新"):
                    asyncio.run(provision(database.superuser_url(home), APPS, database.passwords(home)))
                    database.migrate_all(home)
                told, findings = asyncio.run(_settle(Stores.of(home), backup.receipt if point.alone else None))
        except BaseException:
            shutil.rmtree(home.data / "postgres")  # the next try begins anew
            raise
        # It is no new platform, which would be filled with a demo.
        home.first_run_done.write_text("".join(" ".join(command) + "\n" for command in FIRST_RUN))
        home.remember()
    show(until, told, findings)
    err.print("Go on 下一步: make up; then take a backup 随后请立即备份: linli backup --to ...", soft_wrap=True)


async def _settle(stores: Stores, receipt: Receipt | None) -> tuple[Counter[str], list[proof.Finding]]:
    from linli_cli.backup.settle import settle  # noqa: PLC0415 slow to load

    with step("What somebody has not heard goes out again", "未送达的事件将重新发布"):
        findings = await proof.prove(stores, receipt)
        return await settle(stores), findings


def show(until: datetime | None, told: Counter[str], findings: list[proof.Finding]) -> None:
    """Say how the restored platform is.

    Raises:
        Trouble: when something is not well.
    """
    table = Table("", "", "", show_header=False, box=None)
    table.add_row("[green]✓[/]", "last change 最后一次提交", f"{until:%F %T.%f}Z" if until else "-")
    for one in findings:
        table.add_row("[green]✓[/]" if one.well else "[red]✗[/]", one.what, one.found)
    words = ", ".join(f"{service} {number:,}" for service, number in told.items() if number)
    table.add_row("[green]✓[/]", "events told again 重新发布的事件", words or "none")
    out.print(table)
    if not all(one.well for one in findings):
        raise Trouble("Not all is as it should be, see above.", "部分检查未通过，见上。")


def _must_be_empty(home: Home) -> None:
    if Supervisor(home).running() or orphans(home):
        raise Trouble("The platform runs here; stop it first.", "平台正在运行，请先停止。", hint="make down")
    for folder in (home.data / "postgres", home.data / "nats"):
        if folder.exists() and any(folder.iterdir()):
            raise Trouble(
                f"{folder} is not empty: what is there would be lost.",
                f"{folder} 不为空，恢复会覆盖其中数据。",
                hint="LINLI_HOME names another place; or move this one away.  可用 LINLI_HOME 指定其他位置。",
            )
    require_free([("postgres", home.postgres_port)])


def _write_secrets(secrets: dict[str, str], folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = {file.name for file in folder.iterdir()}
    if differing := [name for name in there & secrets.keys() if (folder / name).read_text() != secrets[name]]:
        raise Trouble(
            f"In {folder} there are other secrets already: {', '.join(sorted(differing))}.",
            f"{folder} 中已有不同的密钥。",
            hint="They may be the only ones that read another backup: move them away, don't delete them.  "
            "请移走而不是删除。",
        )
    for name, value in secrets.items():
        if name not in there:
            file = folder / Path(name).name
            file.touch(mode=0o600)
            file.write_text(value)


def _lay(home: Home, backup: Backup, point: Point) -> None:
    draft = home.data / "postgres.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    lay(backup, PRIMARY, point, into_folder(draft))
    database.hand_over(draft)
    shutil.rmtree(home.root / "wal", ignore_errors=True)  # what the log's keeper had of the platform before
    draft.replace(home.data / "postgres")  # over an empty one, if any


@contextmanager
def _postgres(home: Home) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the database alone, as nobody else knows of it yet."""
    user = database.system_user()
    with (home.logs / "restore.log").open("wb") as log:
        process = subprocess.Popen(
            database.command(home),
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), MARK: str(home.root)},
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.send_signal(2)  # fast: roll back, write a checkpoint, go
            process.wait(_STOP_WITHIN)


async def _recovered(home: Home, process: "subprocess.Popen[bytes]", patience: int) -> datetime | None:
    """Wait until the log was followed, and tell when the last change in it was made."""
    deadline = time.monotonic() + patience
    while True:
        if process.poll() is not None:
            raise _failed(home)
        try:
            async with _asked(home) as connection:
                if not await connection.fetchval("SELECT pg_is_in_recovery()"):
                    return await connection.fetchval("SELECT pg_last_xact_replay_timestamp()")  # type: ignore[no-any-return]
        except (OSError, TimeoutError, asyncpg.PostgresError):
            pass  # it takes no connections yet
        if time.monotonic() > deadline:
            raise Trouble(f"The log was not followed within {patience} s.", "日志回放超时。", hint="--patience")
        await asyncio.sleep(0.2)


@asynccontextmanager
async def _asked(home: Home) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.superuser_url(home), timeout=5)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


def _failed(home: Home) -> Trouble:
    words = "\n".join(tail(home.logs / "restore.log", _LINES))
    if _NOT_REACHED in words:
        return Trouble(
            "The log ends before that time: take an earlier one, or none for all there is.",
            "日志在该时刻之前结束，请改用更早的时刻，或不指定 --at。",
            hint="linli backup list --to PLACE",
        )
    return Trouble(f"PostgreSQL did not recover:\n{words}", "数据库恢复失败，日志见上。")
