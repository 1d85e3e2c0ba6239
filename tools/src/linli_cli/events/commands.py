"""`linli events`: dead letters, telling again what the broker lost, and proving that nothing is missing."""

import asyncio
import json
import re
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar
from uuid import UUID

import nats
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from linli.driver import LOST
from linli_cli.api import Api
from linli_cli.archive.stores import Stores
from linli_cli.console import Trouble, err, out
from linli_cli.events import letters
from linli_cli.home import SERVICES, Home

app = typer.Typer(help="Dead letters, replays, reconciliation 死信、重放与对账.", no_args_is_help=True)

T = TypeVar("T")
Service = Annotated[str, typer.Argument(help=", ".join(SERVICES), metavar="SERVICE")]
Id = Annotated[UUID, typer.Argument(help="Of the dead letter 死信编号", metavar="ID")]
District = Annotated[
    int | None, typer.Option(min=100_000, max=999_999, help="One alone, six digits 只处理一个区", metavar="CODE")
]
Since = Annotated[str, typer.Option(help="How far back: 30m, 2h, 3d; at most 30d 起始时间", metavar="AGE")]
_LOST: Final = (*LOST, SQLAlchemyError, nats.errors.Error, ConnectionError)
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_KEPT: Final = timedelta(days=30)
"""How long publishers keep what they have told."""


@app.callback()
def _group() -> None:
    """Dead letters, replays, reconciliation 死信、重放与对账."""


@app.command()
def dead(
    service: Annotated[str | None, typer.Option(help="One alone 只看一个服务")] = None,
    district: District = None,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many 最多条数")] = 200,
    *,
    closed: Annotated[bool, typer.Option("--all", help="Also those dealt with 包括已处理的")] = False,
) -> None:
    """List messages that could not be handled, newest first 列出死信."""
    found, silent = _run(_listed(_home(), service, district, closed=closed, most=most))
    table = Table("service 服务", "id 编号", "district 区", "subject 主题", "died 时间", "error 原因", box=None)
    for letter in found:
        facts = letter.facts
        mark = "" if letter.open else " [green]replayed[/]" if facts["replayed_at"] else " [dim]discarded[/]"
        died = datetime.fromisoformat(facts["died_at"]).astimezone()
        table.add_row(
            *(letter.service, facts["id"], str(facts["district"]), escape(facts["subject"])),
            *(f"{died:%F %T}{mark}", escape(facts["error"])),
        )
    if found:
        out.print(table)
    err.print(f"{len(found)} dead letters  死信 {len(found)} 条")
    _complain(silent)


@app.command()
def show(service: Service, letter: Id) -> None:
    """Show one dead letter, with its message 查看一条死信."""

    async def work(home: Home) -> letters.Letter:
        async with Api(home.url) as api:
            return await letters.read(letters.operator(home, api), service, letter)

    out.print_json(json.dumps(_run(work(_home())).facts, ensure_ascii=False))


@app.command("replay-dead")
def replay_dead(
    service: Annotated[str | None, typer.Argument(help="All without it 省略则为全部服务", metavar="SERVICE")] = None,
    letter: Annotated[UUID | None, typer.Argument(help="Of the dead letter 死信编号", metavar="ID")] = None,
    district: District = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All open ones, oldest first 全部未处理的")] = False,
) -> None:
    """Have dead letters handled again; what was done is not done twice 重放死信."""
    if everything == (letter is not None):
        raise Trouble("Name a service and a dead letter, or say --all.", "请指定服务与死信编号，或使用 --all。")
    home, silent = _home(), list[str]()
    if letter is None:
        wanted, silent = _run(_listed(home, service, district, closed=False, most=10_000))
    else:
        wanted = [letters.Letter(letters.known(service or ""), {"id": str(letter)})]
    _settle(home, wanted[::-1], "replay")
    _complain(silent)


@app.command()
def discard(service: Service, letter: Id) -> None:
    """Say that a dead letter will never be handled; it is kept, and counts no more 放弃死信."""
    _settle(_home(), [letters.Letter(letters.known(service), {"id": str(letter)})], "discard")


@app.command()
def replay(
    since: Since,
    service: Annotated[str | None, typer.Option(help="One alone 只重放一个服务")] = None,
    district: District = None,
) -> None:
    """Tell again what the broker has lost, from the publishers' logs; safe to stop and run again 重放丢失的事件."""
    from linli_cli.events.replay import replay as tell_again  # noqa: PLC0415 each command loads what it needs

    stores, began = Stores.of(_home()), _ago(since)
    services = [letters.known(service)] if service else list(SERVICES)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=err) as progress:

        def advance(what: str, total: int, more: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=0)
            done = progress.tasks[tasks[what]].completed
            progress.update(tasks[what], completed=done + more, total=max(total, done + more))

        sent, refused = _run(tell_again(stores, services, began, district, advance))
    if refused:
        raise Trouble(
            f"{refused} of {sent} events the broker would not take: it had them within the last two minutes.",
            f"{sent} 个事件中有 {refused} 个被消息服务拒收：两分钟内曾收到过。",
            hint="Run it again in two minutes.  请两分钟后重新执行。",
        )
    err.print(f"[green]✓[/] {sent} events told again  已重放 {sent} 个事件")


@app.command()
def reconcile(
    since: Since = "1d",
    district: District = None,
    wait: Annotated[float, typer.Option(min=0, max=600, help="Seconds for what is on its way 等待在途事件")] = 30,
) -> None:
    """Compare logs, streams and inboxes of all; exit 1 when anything is missing anywhere 对账."""
    from linli_cli.events.reconcile import reconcile as compare  # noqa: PLC0415 as above

    found = _run(compare(Stores.of(_home()), _ago(since), district, wait))
    table = Table("event, consumer 事件、消费者", "where 位置", "wanted 应有", "missing 缺失", box=None)
    for line in found:
        if line.wanted or line.missing:
            shown = f"[red]{line.missing:,}[/]" if line.missing else "0"
            table.add_row(escape(line.kind), line.where, f"{line.wanted:,}", shown)
    out.print(table)
    for line in found:
        for one in line.some:
            out.print(f"[red]✗[/] {escape(line.kind)} · {line.where}: {escape(one)}")
    if missing := sum(line.missing for line in found):
        raise Trouble(
            f"{missing} are missing, or where they should not be.",
            f"共 {missing} 处不一致。",
            hint="Lost by the broker 消息服务丢失的: linli events replay --since ...\n"
            "Waiting 仍在等待的: linli doctor, and again later 稍后重试",
        )
    err.print("[green]✓[/] Nothing is missing  对账一致")


async def _listed(
    home: Home, service: str | None, district: int | None, *, closed: bool, most: int
) -> tuple[list[letters.Letter], list[str]]:
    """List dead letters, and say at once whose are missing and why; give the names of those services too."""
    services = [letters.known(service)] if service else SERVICES
    within = str(district) if district else ""
    async with Api(home.url) as api:
        operator = letters.operator(home, api)
        found, silent = await letters.listed(operator, services, within=within, closed=closed, most=most)
    for name, trouble in silent.items():
        err.print(f"[red]✗[/] {name}: {escape(trouble.english)}", soft_wrap=True)
    return found, list(silent)


def _complain(silent: list[str]) -> None:
    if silent:
        names = ", ".join(silent)
        raise Trouble(
            f"These services gave no list, so their dead letters are missing here: {names}.",
            f"未能查询 {names}，以上不含其死信。",
            hint="linli doctor",
        )


def _settle(home: Home, wanted: list[letters.Letter], how: str) -> None:
    async def work() -> int:
        failed = 0
        async with Api(home.url) as api:
            operator = letters.operator(home, api)
            for letter in wanted:
                name = f"{letter.service} {letter.facts['id']}"
                why = await letters.settle(operator, letter.service, letter.facts["id"], how)
                err.print(f"[red]✗[/] {name}: {escape(why)}" if why else f"[green]✓[/] {name}", soft_wrap=True)
                failed += bool(why)
        return failed

    if failed := _run(work()):
        raise Trouble(
            f"{failed} of {len(wanted)} still can't be handled; nothing of them was changed.",
            f"{len(wanted)} 条中有 {failed} 条仍无法处理，未作更改。",
            hint="Mend the cause, then replay them again.  请排除原因后重试。",
        )


def _home() -> Home:
    home = Home.find()
    home.require()
    return home


def _ago(text: str) -> datetime:
    """Read how far back.

    Raises:
        Trouble: when it is no age, or longer than logs are kept.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([mhd])", text)
    age = int(found[1]) * _UNITS[found[2]] if found else None
    if age is None or age > _KEPT:
        raise Trouble(
            f"{text} is no age of at most 30 days; write 30m, 2h or 3d.",
            f"{text} 不是 30 天以内的时长，请写作 30m、2h 或 3d。",
        )
    return datetime.now(UTC) - age


def _run(work: Coroutine[None, None, T]) -> T:
    try:
        return asyncio.run(work)
    except _LOST as error:
        raise Trouble(
            f"Interrupted: {type(error).__name__}: {error}", "操作中断。", hint="Run it again.  请重新执行。"
        ) from error
