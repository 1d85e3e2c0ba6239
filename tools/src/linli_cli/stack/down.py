"""`linli down` and `linli reset`: stop without loss, and start over."""

import os
import shutil
import signal
from contextlib import suppress
from typing import Annotated

import psutil
import typer

from linli_cli.console import Trouble, err, step
from linli_cli.home import Home
from linli_cli.stack.ports import orphans
from linli_cli.stack.supervisor import Supervisor

_SECONDS = 150
"""More than all parts together are given to stop."""
_ORPHAN_SECONDS = 20


def down() -> None:
    """Stop the platform; nothing is lost 停止平台."""
    if not stop(Home.embedded()):
        err.print("Nothing runs here.  没有正在运行的平台。")


def reset(*, yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False) -> None:
    """Stop the platform and delete its data, tickets' files and logs; secrets stay 停止平台并清空数据、附件与日志."""
    home = Home.embedded()
    if not home.root.exists():
        err.print(f"There is nothing in {home.root}.  {home.root} 中没有数据。")
        return
    if not yes:
        typer.confirm(
            f"All data, tickets' files and logs in {home.root} will be deleted. Go on?\n"
            f"{home.root} 中的全部数据、工单附件和日志将被删除，是否继续？",
            abort=True,
        )
    stop(home)
    with step("Data, tickets' files and logs are deleted", "数据、工单附件与日志已删除"):
        # The secrets stay: what was backed up can be read with their master key only.
        for folder in (home.data, home.files, home.spool, home.logs, home.run):
            if folder.exists():
                shutil.rmtree(folder)
    if elsewhere := os.environ.get("LINLI_FILES"):
        err.print(  # another platform may keep its own there
            f"! Tickets' files in {elsewhere} are not deleted.  {elsewhere} 中的工单附件未删除。",
            markup=False,
            soft_wrap=True,
        )


def stop(home: Home) -> bool:
    """Stop this stack's processes and wait for the last; tell whether there were any.

    Raises:
        Trouble: when they don't end in time.
    """
    supervisor = Supervisor(home)
    if not supervisor.running():
        return stop_orphans(home)
    with step("Stopped: gateway, services, NATS, PostgreSQL", "已依次停止网关、服务、消息与数据库"):
        process = psutil.Process(supervisor.pid())
        supervisor.stop()
        try:
            process.wait(_SECONDS)
        except psutil.TimeoutExpired:
            states = [f"{state.name} ({state.word})" for state in supervisor.states().values() if state.pid]
            raise Trouble(
                f"After {_SECONDS} s these still run: {', '.join(states) or 'the supervisor'}.",
                "等待停止超时。",
                hint=f"See {home.logs}, and run `make down` again.  请查看日志后重试。",
            ) from None
    return True


def stop_orphans(home: Home) -> bool:
    """Stop what a killed supervisor left running: the database last, so that nobody loses his transaction."""
    left = orphans(home)
    if not left:
        return False
    with step("Stopped what ran without a supervisor", "已停止失去管理的进程"):
        databases = [process for process in left if process.name() == "postgres"]
        _end([process for process in left if process not in databases], signal.SIGTERM)
        _end(databases, signal.SIGINT)
    return True


def _end(processes: list[psutil.Process], order: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(order)
    _, stubborn = psutil.wait_procs(processes, timeout=_ORPHAN_SECONDS)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # PostgreSQL and NATS recover what they have acknowledged
    _, stubborn = psutil.wait_procs(stubborn, timeout=_ORPHAN_SECONDS)
    if stubborn:
        raise Trouble(
            f"These processes don't end: {', '.join(str(process.pid) for process in stubborn)}.",
            "部分进程无法停止。",
        )
