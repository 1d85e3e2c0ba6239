"""A platform restored into the embedded stack's home, which must be empty."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from threading import Event
from typing import Final

import asyncpg

from linli_cli.archive.stores import Stores
from linli_cli.backup import proof
from linli_cli.backup.afterwards import proved
from linli_cli.backup.contents import PRIMARY
from linli_cli.backup.lay import Point, into_folder, lay
from linli_cli.backup.opened import Backup, write_secrets
from linli_cli.console import Trouble, err, step
from linli_cli.home import APPS, Home
from linli_cli.stack import database
from linli_cli.stack.logs import tail
from linli_cli.stack.ports import orphans, require_free
from linli_cli.stack.supervisor import MARK, Supervisor
from linli_cli.stack.up import FIRST_RUN, alone

_STOP_WITHIN: Final = 60
_LINES: Final = 12
_NOT_REACHED: Final = "recovery ended before configured recovery target was reached"


def restore(home: Home, backup: Backup, point: Point, patience: int) -> None:
    """Lay the files, follow the log, and leave everything at rest.

    Raises:
        Trouble: when the home is not empty, or anything is not as it should be.
    """
    from linli.bootstrap import provision  # noqa: PLC0415 slow to load

    home.create()
    with alone(home):
        _must_be_empty(home)
        write_secrets(backup.secrets(), home.secrets)
        if not all((home.secrets / name).exists() for name in ("master_key", "postgres")):
            raise Trouble(
                "The backup holds no secrets: put the platform's own into its home first.",
                "备份不含密钥，请先放回平台的 secrets 目录。",
                hint=str(home.secrets),
            )
        with step(f"Files and log of {backup.receipt.name}", "数据文件与日志已就位"):
            _lay(home, backup, point)
        with _begun_anew_if_it_fails(home) as recovered, _postgres(home) as process:
            with step("The log was followed", "日志已回放"):
                until = asyncio.run(_recovered(home, process, patience))
            with step("Tables are up to date", "数据表已是最新"):
                asyncio.run(provision(database.superuser_url(home), APPS, database.passwords(home)))
                database.migrate_all(home)
            # It is no new platform, which would be filled with a demo.
            home.first_run_done.write_text("".join(" ".join(command) + "\n" for command in FIRST_RUN))
            home.remember()
            recovered.set()
            kept = backup.place, backup.key
            told, findings = asyncio.run(proved(Stores.of(home), backup.receipt if point.alone else None, kept))
    proof.show(until, told, findings)
    err.print("Go on 下一步: make up; then take a backup 随后请立即备份: linli backup --to ...", soft_wrap=True)


@contextmanager
def _begun_anew_if_it_fails(home: Home) -> Iterator[Event]:
    """Remove what a restore that fails had laid; what was recovered by then stays, as it may be all there is."""
    recovered = Event()
    try:
        yield recovered
    except BaseException:
        if recovered.is_set():
            err.print(
                f"[red]![/] The databases are restored and stay in {home.data}, but not all was proved, nor told "
                "again. Mend what is said below, move that folder away, and restore again.\n"
                "  数据库已恢复并予保留，但校验和补发未完成。请按下述提示处理，移走该目录后重新恢复。",
                soft_wrap=True,
            )
        else:
            shutil.rmtree(home.data / "postgres")  # the next try begins anew
        raise


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


def _lay(home: Home, backup: Backup, point: Point) -> None:
    draft = home.data / "postgres.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    lay(backup, PRIMARY, point, into_folder(draft))
    database.hand_over(draft)
    shutil.rmtree(home.spool, ignore_errors=True)  # what the log's keeper had of the platform before
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
