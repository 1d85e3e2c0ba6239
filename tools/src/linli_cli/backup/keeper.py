"""The log of every change (WAL 归档), fetched from the database servers as it is written, and kept encrypted.

`pg_receivewal` writes it into a folder here, the spool; every few seconds what is new goes to where backups are. The
servers keep what was not fetched, up to `max_slot_wal_keep_size`: then a piece is lost rather than the disk full, and
a base backup begins anew. The spool is bounded in the same way. Files of tickets that came meanwhile go along.
"""

import asyncio
import fcntl
import gzip
import hashlib
import re
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from linli.driver import LOST
from linli_cli.archive.places import Place
from linli_cli.archive.seal import Lock
from linli_cli.archive.stores import connected
from linli_cli.backup import base, reached, segments, wal
from linli_cli.backup.new_files import NewFiles
from linli_cli.backup.reached import Reached
from linli_cli.backup.take import Source
from linli_cli.console import Trouble, err

SLOT: Final = "linli_wal"
_NAME: Final = re.compile(r"[0-9A-F]{24}(\.partial)?|[0-9A-F]{8}\.history")
_SPOOL_LIMIT: Final = 2**30
_END_WITHIN: Final = 10
_FAILURES: Final = (Trouble, *LOST, OSError)


class Receiver:
    """Fetches one server's log, and keeps it."""

    def __init__(self, source: Source, place: Place, lock: Lock, spool: Path, store: Place) -> None:
        self._source = source
        self._place = place
        self._lock = lock
        self._root = spool
        self._files = NewFiles(source, place, lock, store)
        self._process: subprocess.Popen[bytes] | None = None
        self._held: ExitStack | None = None
        self._system = ""
        self._timeline = 0
        self._since: datetime | None = None
        self._forks: dict[int, int] | None = None
        self._there = False
        self._shipped: dict[str, str] = {}
        self._last = 0
        self._mark: tuple[datetime, int] | None = None

    @property
    def _spool(self) -> Path:
        return self._root / self._system

    def round(self) -> None:
        """Keep what is new; begin to fetch, or end, as is needed.

        Raises:
            Trouble: when the server or the place can't be reached: fetching goes on, and so must this.
        """
        until: datetime | None = None
        try:
            if self._process is None or self._process.poll() is not None:
                self._begin()
            until = asyncio.run(self._fetched())
        finally:  # what was fetched from a server that is gone is worth all the more
            self._keep()
        if until:
            before = reached.read(self._place, self._system)
            asyncio.run(self._files.keep(before.until if before else until))
            now = Reached(
                until=until,
                timeline=self._timeline,
                since=self._since,
                before=None if self._forks is None else dict.fromkeys(self._forks),
                forks=self._forks or {},
            )
            reached.go_on(self._place, self._system, now)
            self._there = True

    def _keep(self) -> None:
        if not self._held:
            return
        try:
            self._ship()
        except Trouble:
            if self._is_full():
                self.end()  # the server keeps the rest, as far as it may
            raise

    def _is_full(self) -> bool:
        size = 0
        for file in self._spool.glob("*"):
            with suppress(FileNotFoundError):  # a partial piece that is whole by now
                size += file.stat().st_size
        return size > _SPOOL_LIMIT

    def finish(self) -> None:
        """Stop fetching, keep what came last, and leave the spool to whoever comes next."""
        self.end()
        try:
            if self._held:
                self._ship()
        finally:
            self._let_go()

    def end(self) -> None:
        """Stop fetching."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def _hold(self, system: str) -> None:
        """Have a server's spool to oneself: what waits there for one place must not go to another instead.

        Raises:
            Trouble: when somebody else has it.
        """
        if self._held and system == self._system:
            return
        self._root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            # Beside the spool, which is emptied; a pg_receivewal that outlives its keeper doesn't inherit it.
            file = held.enter_context((self._root / f"{system}.lock").open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Trouble(
                    f"Somebody else fetches the log of {self._source.name} into {self._root}, which only one can.",
                    f"已有其他进程在获取 {self._source.name} 的日志（暂存于 {self._root}），只能有一个。",
                    hint="A second place gets a copy of the first one's files.  其他备份位置请复制首个位置的文件。",
                ) from None
            self._let_go()
            self._held, self._system = held.pop_all(), system

    def _let_go(self) -> None:
        if self._held:
            self._held.close()
        self._held = None

    def _begin(self) -> None:
        self._mark = None
        new = asyncio.run(self._prepare())
        self._spool.mkdir(mode=0o700, exist_ok=True)
        if new:  # what the spool ends with is not where the server begins
            with suppress(Trouble):
                self._ship()
            for file in self._spool.iterdir():
                file.unlink()
        if new or not self._there:
            err.print(
                f"{self._source.name}: its log is kept in {self._place.address} from now on; take a backup now, to "
                "begin with.  从现在起归档日志，请立即执行一次 linli backup。",
                soft_wrap=True,
            )
        kept = filter(segments.is_piece, wal.pieces(self._place, self._system))
        self._last = max(map(segments.number, kept), default=0)
        login = base.Login.of(self._source.url)
        self._process = subprocess.Popen(
            [
                *(base.program("pg_receivewal"), *login.options, f"--directory={self._spool}", f"--slot={SLOT}"),
                *("--synchronous", "--status-interval=1"),
            ],
            env=login.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    async def _prepare(self) -> bool:
        """Have the server keep what was not fetched; tell whether that begins only now."""
        async with connected(self._source.url) as connection:
            system, timeline = await reached.who(connection)
            self._hold(system)
            self._timeline = timeline
            self._since, self._forks = await reached.origin(connection, self._timeline)
            self._require_place()
            if self._is_full():
                raise Trouble(
                    f"{self._spool} is full: no more of the log is fetched until what waits there is kept.",
                    f"暂存目录 {self._spool} 已满，归档后才会继续获取日志。",
                )
            query = "SELECT wal_status, active, active_pid FROM pg_replication_slots WHERE slot_name = $1"
            slot = await connection.fetchrow(query, SLOT)
            if slot and slot["active"]:  # or the one that was here a moment ago: it is tried again
                raise Trouble(
                    f"Somebody else fetches the log of {self._source.name}, which only one can (process "
                    f"{slot['active_pid']} of its server).",
                    f"已有其他进程在获取 {self._source.name} 的日志，只能有一个（服务端进程 {slot['active_pid']}）。",
                    hint="Left behind by a keeper that was killed? End that pg_receivewal.  若为遗留进程，请结束它。\n"
                    "A second place gets a copy of the first one's files.  其他备份位置请复制首个位置的文件。",
                )
            status = slot and slot["wal_status"]
            if status == "lost":
                await connection.execute("SELECT pg_drop_replication_slot($1)", SLOT)
            if status in {None, "lost"}:
                await connection.execute("SELECT pg_create_physical_replication_slot($1, true)", SLOT)
                return True
        return False

    async def _fetched(self) -> datetime | None:
        """Tell until when all is in the spool: what was written when this was asked before, once that has come."""
        async with connected(self._source.url) as connection:
            query = (
                "SELECT clock_timestamp() AS now, pg_current_wal_flush_lsn() - '0/0' AS written,"
                " (SELECT restart_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = $1) AS fetched"
            )
            row = await connection.fetchrow(query, SLOT)
        before, self._mark = self._mark, (row["now"], int(row["written"]))
        if before and row["fetched"] is not None and int(row["fetched"]) >= before[1]:
            return before[0]
        return None

    def _require_place(self) -> None:
        if reached.require_alone(self._place, self._system, self._timeline):
            self._there = True
        elif self._there:
            raise Trouble(
                f"What was kept in {self._place.address} is gone: is it mounted? The log waits here.",
                f"{self._place.address} 中已归档的日志不见了，请检查是否已挂载；日志暂存本机。",
            )

    def _ship(self) -> None:
        self._require_place()
        for file in sorted(self._spool.glob("*")):
            if not _NAME.fullmatch(file.name):
                continue
            try:
                content = file.read_bytes()
            except FileNotFoundError:  # a partial piece that is whole by now, under a name that was not listed
                self._ship()
                return
            digest = hashlib.sha256(content).hexdigest()
            if self._shipped.get(file.name) != digest:
                self._place.write(
                    wal.path(self._system, file.name), self._lock.sealed(gzip.compress(content, 1, mtime=0))
                )
                self._shipped[file.name] = digest
            if segments.is_piece(file.name):
                self._whole(file.name)
                file.unlink()

    def _whole(self, name: str) -> None:
        with suppress(Trouble):  # not everybody may delete there; beside a whole piece a partial one counts for nothing
            self._place.delete(wal.path(self._system, name + segments.PARTIAL))
        for one in (name, name + segments.PARTIAL):
            self._shipped.pop(one, None)
        place = segments.number(name)
        if self._last and place > self._last + 1:
            err.print(
                f"[red]![/] {self._source.name}: {place - self._last - 1} pieces of the log before {name} are lost; "
                "take a backup now, to begin anew.  日志缺失，请立即执行一次 linli backup。",
                soft_wrap=True,
            )
        self._last = max(self._last, place)


def receive(receivers: list[Receiver], every: float, wanted: Callable[[], bool]) -> None:
    """Fetch and keep until it is not wanted any more; whatever fails is tried again."""
    failing = ""
    while wanted():
        began = time.monotonic()
        said = ""
        for one in receivers:
            try:
                one.round()
            except _FAILURES as error:
                said = str(error)
        if said != failing:  # once, not every few seconds
            err.print(f"[red]![/] {datetime.now(UTC):%F %T}Z {said}" if said else "[green]✓[/] well again 已恢复")
            failing = said
        while wanted() and time.monotonic() - began < every:
            time.sleep(min(0.2, every))
    for one in receivers:
        with suppress(Trouble, OSError):
            one.finish()
