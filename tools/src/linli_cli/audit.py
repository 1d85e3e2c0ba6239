"""`linli audit verify`: follow every chain of the audit logs, and hold them against what they were before.

A chain shows by itself where a row was altered, put in or taken out. Whoever rewrites the end of one, and its head too,
shows only against a head that was kept elsewhere: that is what `--heads` is for.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import asyncpg
import typer
from rich.table import Table
from sqlalchemy.ext.asyncio import create_async_engine

from linli_cli.archive.stores import Stores, connected
from linli_cli.console import Trouble, err, out
from linli_cli.home import SERVICES, Home

app = typer.Typer(help="Prove that the audit logs are as they were written 审计日志校验.", no_args_is_help=True)

_DISTRICTS: Final = "SELECT district FROM audit_head UNION SELECT DISTINCT district FROM audit ORDER BY 1"
_PLACE: Final = "SELECT hash FROM audit WHERE district = $1 AND sequence = $2"

Heads = dict[str, tuple[int, str]]
"""By `service/district`: how many rows there were, and the last one's hash."""


@dataclass(frozen=True)
class Found:
    """What one chain turned out to be."""

    service: str
    district: int
    rows: int = 0
    head: str = ""
    fault: str = ""

    @property
    def name(self) -> str:
        """What it is called among the heads."""
        return f"{self.service}/{self.district}"


@app.callback()
def _group() -> None:
    """Prove that the audit logs are as they were written 审计日志校验."""


@app.command()
def verify(
    district: Annotated[
        int | None, typer.Option(min=0, max=999_999, help="One alone; six digits, 0 is the platform 只校验一个区")
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option(help="Compare with the heads kept in this file, then keep the new ones 链头文件", dir_okay=False),
    ] = None,
) -> None:
    """Follow the chain of every district's audit log in every service; exit 1 at a fault 校验审计链."""
    home = Home.find()
    home.require()
    kept = _read(heads) if heads else {}
    try:
        found = asyncio.run(_verify(Stores.of(home), district, kept))
    except asyncpg.PostgresError as error:
        raise Trouble(f"The database says: {error}", "数据库出错，见上。") from error
    if district is not None and not found:
        raise Trouble(f"No service has an audit log of district {district}.", f"没有区 {district} 的审计日志。")
    _show(found)
    if faults := [one for one in found if one.fault]:
        raise Trouble(
            f"{len(faults)} of {len(found)} audit logs do not hold.",
            f"{len(faults)} 条审计链校验未通过。",
            hint="Keep databases, backups and logs as they are, and call who is responsible for security.  "
            "请保留数据库、备份和日志原状，并通知安全负责人。",
        )
    if heads:
        _write(heads, kept | {one.name: (one.rows, one.head) for one in found})
    err.print(f"[green]✓[/] {len(found)} audit logs hold  审计链全部通过")


async def _verify(stores: Stores, district: int | None, kept: Heads) -> list[Found]:
    found: list[Found] = []
    for service in SERVICES:
        for url in stores.everywhere(service):
            async with connected(url) as connection:
                if await connection.fetchval("SELECT to_regclass('public.audit')") is None:
                    continue
                districts = [row[0] for row in await connection.fetch(_DISTRICTS)]
                wanted = [one for one in districts if district in {None, one}]
                found += [await _follow(connection, url, service, one, kept) for one in wanted]
    names = {one.name for one in found}
    for name in kept.keys() - names:
        service, _, code = name.partition("/")
        if district in {None, int(code)}:
            found.append(Found(service, int(code), fault=f"all {kept[name][0]} rows are gone (全部缺失)"))
    return found


async def _follow(connection: asyncpg.Connection, url: str, service: str, district: int, kept: Heads) -> Found:
    from linli.audit import AuditBroken, verify  # noqa: PLC0415 slow to load
    from linli.db import async_url  # noqa: PLC0415 as above

    engine = create_async_engine(async_url(url))
    try:
        async with engine.connect() as reading:
            # Rows and head as they are at one moment, while others write.
            await reading.execution_options(isolation_level="REPEATABLE READ")
            verified = await verify(reading, district)
    except AuditBroken as broken:
        return Found(service, district, fault=str(broken))
    finally:
        await engine.dispose()
    found = Found(service, district, verified.rows, verified.head.hex())
    rows, head = kept.get(found.name, (0, ""))
    if rows and (await connection.fetchval(_PLACE, district, rows) or b"").hex() != head:
        fault = f"row {rows} is not the one that was kept (第 {rows} 条与留存的链头不符)"
        return Found(service, district, verified.rows, verified.head.hex(), fault)
    return found


def _show(found: list[Found]) -> None:
    table = Table("service 服务", "district 区", "rows 行", "last hash 链头")
    for one in found:
        table.add_row(
            one.service, str(one.district), f"{one.rows:,}", f"[red]✗ {one.fault}[/]" if one.fault else one.head
        )
    out.print(table)


def _read(file: Path) -> Heads:
    try:
        said = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return {str(name): (int(rows), bytes.fromhex(head).hex()) for name, (rows, head) in said.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise Trouble(f"{file} holds no heads that were kept here.", f"{file} 不是有效的链头文件。") from error


def _write(file: Path, heads: Heads) -> None:
    draft = file.with_name(f"{file.name}.part")
    try:
        draft.write_text(json.dumps(heads, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(file)  # whole or not at all
    except OSError as error:
        raise Trouble(f"{file} can't be written: {error.strerror}.", f"无法写入 {file}。") from error
