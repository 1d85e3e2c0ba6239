"""`linli backup`: take one, keep the log between two of them, and know that they can be relied on."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from linli.driver import LOST
from linli_cli.archive.places import Place
from linli_cli.archive.seal import Key, Lock
from linli_cli.archive.stores import Stores
from linli_cli.backup import base, contents, files, keeper, reached, take, wal
from linli_cli.backup.opened import Backup
from linli_cli.console import Trouble, err, out, step
from linli_cli.district.commands import key
from linli_cli.home import Home

app = typer.Typer(
    help="Back up, keep the log, check 备份、日志归档与校验.", invoke_without_command=True, add_completion=False
)

To = Annotated[
    str,
    typer.Option("--to", help="A folder or s3://bucket/prefix 备份位置", envvar="LINLI_BACKUP_TO", show_envvar=True),
]
Recipient = Annotated[
    list[str] | None,
    typer.Option(help="age1...: who can open it 公钥", envvar="LINLI_BACKUP_RECIPIENT", show_envvar=True),
]
RecipientFile = Annotated[Path | None, typer.Option(help="A file of those 公钥文件", dir_okay=False)]
_HINT = "Make a key with `linli backup key FILE`, and keep FILE elsewhere than here.  请先生成密钥，并另行保管。"


@app.callback()
def backup(  # noqa: PLR0913 one option each
    context: typer.Context,
    to: To = "",
    recipient: Recipient = None,
    recipient_file: RecipientFile = None,
    keep: Annotated[int, typer.Option(min=0, help="Delete all but so many backups; 0 keeps all 保留份数")] = 0,
    *,
    without_secrets: Annotated[bool, typer.Option(help="They are kept elsewhere 不含密钥")] = False,
) -> None:
    """Take a backup of all databases and files while the platform is in use 备份全部数据库与附件."""
    if context.invoked_subcommand:
        return
    place, lock = _place(to, make=True), _lock(recipient, recipient_file)
    home = _home()
    try:
        receipt = asyncio.run(take.take(home, Stores.of(home), place, lock, secrets=not without_secrets))
    except (*LOST, ConnectionError) as error:
        raise Trouble(
            f"The database says: {error}", "数据库出错，见上。", hint="Run it again.  请重新执行。"
        ) from error
    for old in take.prune(place, keep, receipt) if keep else ():
        err.print(f"  {old.name} deleted 已删除", soft_wrap=True)
    kept = receipt.files
    if kept:
        err.print(f"  {kept.count:,} files 附件, {kept.new:,} of them new 新增")
    seconds = (receipt.finished_at - receipt.started_at).total_seconds()
    err.print(f"[green]✓[/] {receipt.name}: {_size(receipt.size)} in {seconds:.1f} s, {place.address}", soft_wrap=True)
    if kept and kept.lost:
        raise _lost(kept.lost)


app.command("key")(key)


@app.command("list")
def list_(to: To = "") -> None:
    """List backups, and until when there is log 列出备份."""
    place = _place(to)
    columns = ("size 大小", "files 附件", "version 版本", "restorable until 可恢复至")
    table = Table("backup 备份", "from 开始", "to 完成", *columns)
    for one in contents.receipts(place):
        found = [reached.until(place, server.system, server.timeline, server.end) for server in one.servers.values()]
        until = min((time for time in found if time), default=None) if all(found) else None
        table.add_row(
            one.name,
            *(f"{time:%F %T}Z" for time in (one.started_at, one.finished_at)),
            *(_size(one.size), f"{one.files.count:,}" if one.files else "-", one.version),
            f"{until:%F %T}Z" if until and until > one.finished_at else "itself 自身",
        )
    out.print(table)
    if trouble := contents.unreadable(place):
        raise trouble


@app.command()
def status(
    to: To = "",
    hours: Annotated[float, typer.Option(min=0, help="Oldest the newest backup may be 备份最长间隔")] = 26,
    minutes: Annotated[float, typer.Option(min=0, help="Most of the log that may be missing; 0: none is kept")] = 5,
) -> None:
    """Tell whether there is a new backup and all of the log; exit 1 when not, for whoever watches 检查备份是否及时."""
    place, now = _place(to), datetime.now(UTC)
    newest = contents.find(place, "")
    late = []
    if now - newest.finished_at > timedelta(hours=hours):
        late.append(f"the newest backup is of {newest.finished_at:%F %T}Z")
    if wrong := contents.missing(place, newest):
        late.append(f"{' and '.join(wrong)} are missing or cut off")
    for name, server in newest.servers.items() if minutes else ():
        until = reached.until(place, server.system, server.timeline, server.end)
        if until is None or now - until > timedelta(minutes=minutes):
            late.append(f"the log of {name} is kept until {until:%F %T}Z" if until else f"no log of {name} is kept")
        if gap := wal.gap(place, server):
            late.append(f"of the log of {name} {len(gap)} pieces from {gap[0]} on are missing")
    if newest.files and newest.files.lost:
        late.append(f"{len(newest.files.lost)} files were nowhere, such as {newest.files.lost[0]}")
    if trouble := contents.unreadable(place):
        late.append(trouble.english.rstrip("."))
    if late:
        raise Trouble("; ".join(late) + ".", "备份或日志归档不及时，见上。", hint="linli backup; linli backup wal")
    held = f", {newest.files.count:,} files 附件" if newest.files else ""
    out.print(f"[green]✓[/] {newest.name}{held}")


@app.command()
def verify(
    to: To = "",
    name: Annotated[str, typer.Option(help="Which one; else the newest 备份名称")] = "",
    identity_file: Annotated[
        Path | None, typer.Option(help="The private key: looks inside too 私钥文件", dir_okay=False)
    ] = None,
) -> None:
    """Read a backup again, all log that follows and all files; with its key whatever is in them 校验备份."""
    place = _place(to)
    receipt = contents.find(place, name)
    with step(f"{receipt.archive} is what was written", "归档未变"):
        take.compare(place, receipt)
    opens = Key.of(identity_file, None) if identity_file else None
    if opens:
        with step("Every file is whole", "所有文件完整"):
            Backup(place, receipt, opens).each(lambda _, dump: base.check(dump))
    for server_name, server in receipt.servers.items():
        if gap := wal.gap(place, server):
            raise Trouble(
                f"Of the log of {server_name} {len(gap)} pieces are missing, from {gap[0]} on.",
                f"{server_name} 的日志缺失 {len(gap)} 段。",
                hint="Take a backup now, to begin anew.  请立即重新备份。",
            )
        later = wal.later(place, server)
        with step(f"{len(later)} pieces of the log of {server_name}, without a gap", "日志连续"):
            for one in later if opens else ():
                wal.fetch(place, server.system, one, opens)  # type: ignore[arg-type]  # as the line says
    with step("Photos and files of tickets are what was written", "附件未变"):
        wrong = files.check(place, receipt, opens)
    if wrong:
        raise Trouble(
            f"{len(wrong)} files are missing or altered: {', '.join(wrong)}.",
            f"{len(wrong)} 个附件缺失或被改动。",
            hint="Delete what is altered below files/, and back up again: it is sent anew.  "
            "请删除 files/ 下被改动的文件后重新备份。",
        )
    if trouble := contents.unreadable(place):
        raise trouble
    err.print(f"[green]✓[/] {receipt.name}")


@app.command("wal")
def wal_(
    to: To = "",
    recipient: Recipient = None,
    recipient_file: RecipientFile = None,
    every: Annotated[float, typer.Option(min=1, max=600, help="Seconds; twice as much may be lost 归档间隔秒数")] = 10,
    spool: Annotated[Path | None, typer.Option(help="Where it waits 暂存目录", file_okay=False)] = None,
) -> None:
    """Keep the databases' log and files as they come, until stopped: for any time between two backups 持续归档日志."""
    place, lock = _place(to, make=True), _lock(recipient, recipient_file)
    home = _home()
    folder = spool or home.spool
    stores = Stores.of(home)
    receivers = [keeper.Receiver(one, place, lock, folder, stores.files) for one in take.sources(stores)]
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: stopped.append(got))
    keeper.receive(receivers, every, lambda: not stopped)


def settle(
    of: Annotated[str, typer.Option(help="The backup, if no later time than its own was restored 备份名称")] = "",
    to: To = "",
    identity_file: Annotated[
        Path | None, typer.Option(help="The private key: puts files back, too 私钥文件", dir_okay=False)
    ] = None,
    patience: Annotated[int, typer.Option(min=1, help="Seconds to wait for the databases 最长等待秒数")] = 7_200,
) -> None:
    """After servers were restored by hand: put files back, prove that all is there, tell the rest again 恢复后整理."""
    from linli_cli.backup import afterwards, proof  # noqa: PLC0415 only this command needs it

    receipt = contents.find(_place(to), of.rpartition("/")[2].removesuffix(contents.ARCHIVE)) if of else None
    kept = (_place(to), Key.of(identity_file, None)) if identity_file else None
    home = _home()
    until, told, findings = asyncio.run(afterwards.settled(Stores.of(home), receipt, kept, patience))
    proof.show(until, told, findings)


def _home() -> Home:
    home = Home.find()
    home.require()
    return home


def _place(to: str, *, make: bool = False) -> Place:
    if not to:
        raise Trouble("Say where backups are: --to, or LINLI_BACKUP_TO.", "请用 --to 或 LINLI_BACKUP_TO 指定备份位置。")
    return Place(to, make=make)


def _lock(recipient: list[str] | None, recipient_file: Path | None) -> Lock:
    if not recipient and not recipient_file:
        raise Trouble("Say who can open it: --recipient or --recipient-file.", "请指定收件人公钥。", hint=_HINT)
    return Lock.of(recipient or [], recipient_file, None)


def _lost(names: list[str]) -> Trouble:
    return Trouble(
        f"The backup is taken, but {len(names)} files that rows speak of are nowhere: {', '.join(names)}.",
        f"备份已完成，但有 {len(names)} 个附件的内容不存在，见上。",
        hint="Look whether LINLI_FILES names the right place; what is lost for good, staff remove from its ticket.  "
        "请检查 LINLI_FILES；确已丢失的附件请由工作人员在工单中删除。",
    )


def _size(number: int) -> str:
    return f"{number / 2**20:,.1f} MiB"
