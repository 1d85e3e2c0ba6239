"""What shows that a restored platform is whole: counts, the points' ledger, the audit chains, and files."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
from rich.table import Table
from sqlalchemy.ext.asyncio import create_async_engine

from linli_cli.archive import files
from linli_cli.archive.stores import Stores, connected
from linli_cli.backup.contents import Receipt
from linli_cli.backup.take import count, sources
from linli_cli.console import Trouble, out
from linli_cli.home import SERVICES

_LEDGER: Final = """
SELECT count(*) AS accounts, count(*) FILTER (WHERE balance <> coalesce(moved, 0)) AS wrong,
    (SELECT count(*) FROM (SELECT FROM account GROUP BY district HAVING sum(balance) <> 0) d) AS districts
FROM account a LEFT JOIN (
    SELECT district, id, sum(amount)::bigint AS moved FROM (
        SELECT district, credit_account AS id, amount FROM transfer
        UNION ALL SELECT district, debit_account, -amount FROM transfer) m
    GROUP BY district, id) t USING (district, id)"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    found: str
    well: bool


async def prove(stores: Stores, receipt: Receipt | None) -> list[Finding]:
    """Look whether all is there and hangs together.

    Args:
        stores: of a platform that rests.
        receipt: of the backup, if its own moment was restored and no later one: then rows must be as many.
    """
    return [*(await _rows(stores, receipt)), *(await _ledger(stores)), *(await _audit(stores)), await _files(stores)]


async def _rows(stores: Stores, receipt: Receipt | None) -> list[Finding]:
    found: list[Finding] = []
    for source in sources(stores):
        rows = await count(source.services)
        what = f"rows 行数 ({source.name})"
        if receipt is None:
            found.append(Finding(what, f"{sum(rows.values()):,} in {len(rows)} tables", well=True))
            continue
        wanted = receipt.server(source.name).rows
        wrong = [name for name, seen in wanted.items() if not min(seen) <= rows.get(name, -1) <= max(seen)]
        words = ", ".join(f"{name}: {rows.get(name, 0)}, was {wanted[name]}" for name in wrong)
        found.append(
            Finding(what, words or f"{sum(rows.values()):,} in {len(rows)} tables, as when it was taken", not wrong)
        )
    return found


async def _ledger(stores: Stores) -> list[Finding]:
    found: list[Finding] = []
    for url in stores.everywhere("points"):
        async with connected(url) as connection:
            row: Mapping[str, int] = await connection.fetchrow(_LEDGER)
        wrong = row["wrong"] + row["districts"]
        words = f"{row['accounts']:,} accounts balance" if not wrong else f"{row['wrong']} accounts don't balance"
        found.append(Finding("points 积分账", words, not wrong))
    return found


async def _audit(stores: Stores) -> list[Finding]:
    from linli.audit import AuditBroken, verify  # noqa: PLC0415 slow to load
    from linli.db import async_url  # noqa: PLC0415 as above

    rows, chains, broken = 0, 0, list[str]()
    for service in SERVICES:
        for url in stores.everywhere(service):
            async with connected(url) as connection:
                districts = await _audited(connection)
            engine = create_async_engine(async_url(url))
            try:
                for district in districts:
                    async with engine.connect() as reading:
                        try:
                            rows += (await verify(reading, district)).rows
                            chains += 1
                        except AuditBroken as error:
                            broken.append(f"{service}: {error}")
            finally:
                await engine.dispose()
    return [Finding("audit 审计链", "; ".join(broken) or f"{chains} chains of {rows:,} rows hold", not broken)]


async def _files(stores: Stores) -> Finding:
    count, missing = 0, list[str]()
    async for some in files.of_all(stores):
        count += len(some)
        missing += files.absent(stores.files, some)
    words = f"{len(missing)} of {count:,} are missing: {', '.join(missing)}" if missing else f"{count:,} are there"
    return Finding("files 附件", words, not missing)


async def _audited(connection: asyncpg.Connection) -> list[int]:
    if await connection.fetchval("SELECT to_regclass('public.audit')") is None:
        return []
    query = "SELECT district FROM audit_head UNION SELECT DISTINCT district FROM audit ORDER BY 1"
    return [row[0] for row in await connection.fetch(query)]


def show(until: datetime | None, told: Counter[str], findings: list[Finding]) -> None:
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
