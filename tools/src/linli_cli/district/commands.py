"""`linli district`: take a district on, export it, take one in, remove it."""

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, BinaryIO, Final, TypeVar

import nats
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from linli.driver import LOST
from linli_cli.archive.files import FILES
from linli_cli.archive.seal import Key, Lock
from linli_cli.archive.stores import Stores
from linli_cli.console import Trouble, err, out, step
from linli_cli.district.add import add
from linli_cli.district.contents import Contents, verify
from linli_cli.home import Home

app = typer.Typer(
    help="Take districts on, export, import, remove them 区的接入、导出、导入、移除.", no_args_is_help=True
)

T = TypeVar("T")
Code = Annotated[int, typer.Argument(min=100_000, max=999_999, help="Six digits, e.g. 310104 区划代码", metavar="CODE")]
PassphraseFile = Annotated[Path | None, typer.Option(help="A file with a passphrase 口令文件", dir_okay=False)]
IdentityFile = Annotated[Path | None, typer.Option(help="A file with the private key 私钥文件", dir_okay=False)]
_STANDARD = Path("-")
_LOST: Final = (*LOST, SQLAlchemyError, nats.errors.Error, ConnectionError)
_TOKENS_END = 630
"""Seconds after which no access token that was given before is valid any more: ten minutes, and clocks that differ."""


@app.callback()
def _group() -> None:
    """Take districts on, export, import, remove them 区的接入、导出、导入、移除."""


app.command("add")(add)


@app.command()
def key(file: Annotated[Path, typer.Argument(help="Where to write the private key 私钥文件", dir_okay=False)]) -> None:
    """Make a key pair; keep the file, give the line that is printed to whoever exports 生成密钥对."""
    from pyrage.x25519 import Identity  # noqa: PLC0415 only this command makes one

    identity = Identity.generate()
    with _new(file) as target:
        target.write(f"# public key: {identity.to_public()}\n{identity}\n".encode())
    typer.echo(str(identity.to_public()))


@app.command("export")
def export_(
    district: Code,
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive; - is standard output 归档文件")],
    recipient: Annotated[list[str] | None, typer.Option(help="age1...: who can open it 收件人公钥")] = None,
    recipient_file: Annotated[Path | None, typer.Option(help="A file of those 公钥文件", dir_okay=False)] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write everything of a district into one encrypted file, while it is in use 导出一个区."""
    from linli_cli.district.export import export  # noqa: PLC0415 each command loads what it needs

    lock = Lock.of(recipient or [], recipient_file, passphrase_file)
    stores = _stores()
    with _new(output) as target, lock.sealing(target) as plain:
        contents = _run(export(stores, district, plain))
    _show(contents)
    err.print(f"[green]✓[/] {output}", soft_wrap=True)
    _must_be_there(contents.files.lost)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The archive; - is standard input 归档文件")],
    identity_file: IdentityFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Take in an exported district; after a failure, run it again to go on 导入一个区."""
    from linli_cli.district.load import load  # noqa: PLC0415 as above

    opens = Key.of(identity_file, passphrase_file)
    stores = _stores()
    if file != _STANDARD:
        with step("The archive is whole", "归档完整"):
            _verified(file, opens)
    with _existing(file) as source, opens.opening(source) as plain:
        contents = _run(load(stores, plain))
    _show(contents)
    err.print(f"[green]✓[/] {contents.header.district} {contents.header.name}")
    _must_be_there(contents.files.lost)


@app.command("remove")
def remove_(  # noqa: PLR0913 one option each
    district: Code,
    export: Annotated[Path | None, typer.Option(help="Its archive, to hold against what is here 归档文件")] = None,
    identity_file: IdentityFile = None,
    passphrase_file: PassphraseFile = None,
    yes: Annotated[int | None, typer.Option(help="The code again, instead of typing it 再次给出代码")] = None,
    *,
    without_export: Annotated[bool, typer.Option(help="It is gone for ever 不保留导出，永久删除")] = False,
    wait: Annotated[bool, typer.Option(help="Look again when all access tokens have ended 等待令牌失效")] = True,
) -> None:
    """Remove a district and prove that nothing of it is left; others are not touched 移除一个区."""
    from linli_cli.district.remove import changed_since  # noqa: PLC0415 as above

    stores = _stores()
    if yes not in {None, district}:
        raise Trouble("The code is another; nothing was removed.", "代码不符，未作任何更改。")
    if (export is None) != without_export:
        raise Trouble(
            "Name the district's archive with --export, or say --without-export.",
            "请用 --export 指定该区的归档，或使用 --without-export。",
            hint=f"linli district export {district} -o {district}.age --recipient age1...",
        )
    if export is not None:
        contents = _verified(export, Key.of(identity_file, passphrase_file))
        if contents.header.district != district:
            other = contents.header.district
            raise Trouble(f"{export} is of district {other}.", f"{export} 属于区 {other}。")
        if changed := _run(changed_since(stores, contents)):
            raise Trouble(
                f"The district was changed since {contents.header.taken_at:%F %T} UTC: {', '.join(changed)}.",
                f"导出之后该区数据已有变更：{'、'.join(changed)}。",
                hint="Have nobody work in it, then export again; or say --without-export.  请停止使用后重新导出。",
            )
    asked = f"{district} is removed for ever; type its code 请输入区划代码"
    if yes is None and typer.prompt(asked, err=True, type=int) != district:
        raise Trouble("The code is another; nothing was removed.", "代码不符，未作任何更改。")
    _run(_remove(stores, district, wait=wait))


async def _remove(stores: Stores, district: int, *, wait: bool) -> None:
    from linli_cli.district.remove import Removed, remove, what_is_left  # noqa: PLC0415 as above

    removed = Removed()
    with step(f"{district} is removed", "已移除"):
        await remove(stores, district, removed)
    if wait:
        await _tokens_end()
        with step("Nothing came after it", "令牌失效后再次清理"):
            await remove(stores, district, removed)
    left = await what_is_left(stores, district)
    table = Table("service 服务", "table, stream, files 数据表、事件流、附件", "removed 已移除", "left 剩余")
    for (service, name), count in left.items():
        table.add_row(service, name, f"{removed[service, name]:,}", f"{count:,}")
    out.print(table)
    if left.total():
        raise Trouble("Something is left; run it again.", "仍有剩余，请重新执行。")
    if not wait:
        until = datetime.now().astimezone() + timedelta(seconds=_TOKENS_END)
        err.print(
            f"[yellow]![/] Tokens given before are valid until {until:%T}: run it again then, and take {district} on or"
            f" in again only afterwards.  之前签发的令牌在 {until:%T} 前仍有效：届时请再执行一次，之后才可重新接入。",
            soft_wrap=True,
        )


async def _tokens_end() -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        for _ in progress.track(range(_TOKENS_END), description="Access tokens end 等待令牌失效"):
            await asyncio.sleep(1)


def _run(work: Coroutine[None, None, T]) -> T:
    """Run to the end.

    Raises:
        Trouble: when a connection is lost on the way.
    """
    try:
        return asyncio.run(work)
    except _LOST as error:
        raise Trouble(
            f"Interrupted: {type(error).__name__}: {error}", "操作中断。", hint="Run it again.  请重新执行。"
        ) from error


def _stores() -> Stores:
    home = Home.find()
    home.require()
    return Stores.of(home)


def _verified(file: Path, opens: Key) -> Contents:
    with _existing(file) as source, opens.opening(source) as plain:
        return verify(plain)


@contextmanager
def _existing(file: Path) -> Iterator[BinaryIO]:
    if file == _STANDARD:
        yield sys.stdin.buffer
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise Trouble(f"{file} can't be read: {error.strerror}.", f"无法读取 {file}。") from error
    with source:
        yield source


@contextmanager
def _new(file: Path) -> Iterator[BinaryIO]:
    """Open a file for its owner only; under its name it is there whole or not at all, and nothing is written over."""
    if file == _STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if file.exists():
        raise Trouble(f"{file} is there already.", f"{file} 已存在。")
    draft = file.with_name(f"{file.name}.part")
    try:
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise Trouble(f"{file} can't be written: {error.strerror}.", f"无法写入 {file}。") from error
    try:
        with os.fdopen(number, "wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)


def _show(contents: Contents) -> None:
    """Say what an archive holds, on stderr: standard output may be the archive."""
    header = contents.header
    table = Table("service 服务", "table 数据表", "rows 行", title=f"{header.district} {header.name}")
    for service, summary in contents.services.items():
        for name, found in summary.tables.items():
            if found.rows:
                table.add_row(service, name, f"{found.rows:,}")
    if contents.files.count:
        table.add_row(*FILES, f"{contents.files.count:,}")
    err.print(table)


def _must_be_there(lost: list[str]) -> None:
    """Name the files that rows speak of and whose content is nowhere, once all else is done."""
    if lost:
        raise Trouble(
            f"Done, but {len(lost)} files that rows speak of are nowhere: {', '.join(lost)}.",
            f"已完成，但有 {len(lost)} 个附件的内容不存在，见上。",
            hint="Look whether LINLI_FILES names the right place.  请检查 LINLI_FILES。",
        )
