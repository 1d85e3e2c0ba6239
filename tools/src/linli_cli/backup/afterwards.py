"""What a restored platform goes through before its services start: followed, files put back, proved, told again."""

import asyncio
import time
from collections import Counter
from datetime import datetime
from typing import Final

import nats
import nats.js.errors

from linli_cli.archive.places import Place
from linli_cli.archive.seal import Key
from linli_cli.archive.stores import Stores, connected
from linli_cli.backup import files, proof
from linli_cli.backup.contents import Receipt
from linli_cli.backup.settle import settle
from linli_cli.console import Trouble, step

_POLL: Final = 0.5


async def settled(
    stores: Stores, receipt: Receipt | None, kept: tuple[Place, Key] | None, patience: float
) -> tuple[datetime | None, Counter[str], list[proof.Finding]]:
    """Wait for the database servers, put files back, look at all, and tell again what was not heard.

    Args:
        stores: of the platform.
        receipt: of the backup, if its own moment was restored and no later one.
        kept: where files are kept, and what opens them; without it they were put back by other means.
        patience: seconds.

    Raises:
        Trouble: when a server does not come, the broker holds anything, or services run.
    """
    with step("The broker is empty", "消息服务为空"):
        await _must_be_empty(stores)
    with step("The log was followed", "日志已回放"):
        times = [await _followed(url, patience) for url in stores.everywhere("postgres")]
    told, findings = await proved(stores, receipt, kept)
    return max((time for time in times if time), default=None), told, findings


async def proved(
    stores: Stores, receipt: Receipt | None, kept: tuple[Place, Key] | None
) -> tuple[Counter[str], list[proof.Finding]]:
    """Put files back, look at all, and tell again what was not heard; arguments as above.

    Raises:
        Trouble: when services run, or files can't be read or written.
    """
    if kept:
        with step("Photos and files are back", "附件已恢复"):
            await files.put_back(stores, *kept)
    with step("What somebody has not heard goes out again", "未送达的事件将重新发布"):
        findings = await proof.prove(stores, receipt)
        return await settle(stores), findings


async def _followed(url: str, patience: float) -> datetime | None:
    deadline = time.monotonic() + patience
    while True:
        try:
            async with connected(url) as connection:
                if not await connection.fetchval("SELECT pg_is_in_recovery()"):
                    return await connection.fetchval("SELECT pg_last_xact_replay_timestamp()")  # type: ignore[no-any-return]
        except Trouble:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise Trouble(f"The log was not followed within {patience:.0f} s.", "日志回放超时。", hint="--patience")
        await asyncio.sleep(_POLL)


async def _must_be_empty(stores: Stores) -> None:
    async with stores.jetstream() as js:
        try:
            there = sum(stream.state.messages for stream in await js.streams_info())
        except nats.js.errors.APIError as error:
            raise Trouble(f"The broker says: {error.description}", "消息服务异常。") from error
    if there:
        raise Trouble(
            f"The broker still holds {there:,} events, which may be of later than what was restored.",
            f"消息服务中仍有 {there:,} 条事件，可能晚于恢复时刻。",
            hint="Stop it, remove its data, and start it again; see docs/backup.md.",
        )
