"""`linli up`: start what is missing, wait until all of it is ready, load the demo once."""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Annotated

import typer
from pydantic import SecretStr

from linli_cli.console import Trouble, err, step
from linli_cli.home import APPS, Home, wished_port
from linli_cli.stack import database, ready, streams, summary
from linli_cli.stack.down import stop_orphans
from linli_cli.stack.ports import require_free
from linli_cli.stack.programs import configure, environment, ports
from linli_cli.stack.supervisor import Program, Supervisor

_STREET = "--unit 310104003 --households 4200 --grids 84 --micro-grids 420 --special-grids 21"
FIRST_RUN = (
    ("import", "divisions"),
    ("seed", *_STREET.split()),
    ("demo", "--brief"),
)
"""Commands of `linli` that fill a new platform; each runs once, with whatever options."""


def up(*, empty: Annotated[bool, typer.Option("--empty", help="Load no demo 不加载演示数据.")] = False) -> None:
    """Start the platform and wait until it is ready 启动平台."""
    began = perf_counter()
    home = Home.embedded()
    home.create()
    with alone(home):
        home = _start(home)
        if not empty:
            _first_run(home)
    summary.show(home, perf_counter() - began)


def _start(home: Home) -> Home:
    supervisor = Supervisor(home)
    home = _settle_port(home, supervisor)
    supervisor = Supervisor(home)
    programs = configure(home)
    _require_free_ports(home, supervisor, programs)
    home.remember()
    with step("Database cluster", "数据库目录"):
        database.initialise(home)
    supervisor.start(programs)
    with step("PostgreSQL and NATS answer", "数据库与消息服务已启动"):
        supervisor.begin("postgres", "nats")
        asyncio.run(_wait_for_stores(home, supervisor))
    with step("Databases, logins and rights", "数据库账号与权限"):
        asyncio.run(_provision(home))
    with step("Tables are up to date", "数据表已是最新"):
        database.migrate_all(home)
        _bootstrap_directory(home)
    with step("Services are ready", "各服务已就绪"):
        supervisor.begin(*APPS)
        asyncio.run(ready.services(home, supervisor))
    with step("Gateway is open", "网关已开放"):
        supervisor.begin("gateway")
        asyncio.run(ready.gateway(home, supervisor))
    return home


def _settle_port(home: Home, supervisor: Supervisor) -> Home:
    wished = wished_port()
    if supervisor.running():
        if wished and wished != home.port:
            raise Trouble(
                f"The stack runs on port {home.port}; stop it before it moves to {wished}.",
                f"平台正在端口 {home.port} 上运行，请先停止再换到 {wished}。",
                hint=f"make down && LINLI_PORT={wished} make up",
            )
        return home
    stop_orphans(home)
    return replace(home, port=wished or home.port)


def _require_free_ports(home: Home, supervisor: Supervisor, programs: list[Program]) -> None:
    states = supervisor.states()
    running = {state.name for state in states.values() if state.pid}
    needed = [
        (name, port) for name, numbers in ports(home, programs).items() if name not in running for port in numbers
    ]
    require_free(needed if states else [*needed, ("supervisor", home.supervisor_port)])


async def _wait_for_stores(home: Home, supervisor: Supervisor) -> None:
    await asyncio.gather(ready.postgres(home, supervisor), ready.nats(home, supervisor))


async def _provision(home: Home) -> None:
    from linli.bootstrap import provision  # noqa: PLC0415 loaded while the stores start

    await asyncio.gather(
        provision(database.superuser_url(home), APPS, database.passwords(home)),
        streams.ensure(streams.url(home, streams.ADMIN)),
    )


def _bootstrap_directory(home: Home) -> None:
    """Let the directory know the platform's own client, with which the command line speaks."""
    from directory.bootstrap import BootstrapSettings, bootstrap  # noqa: PLC0415 loaded while the stores start

    told = environment(home, "directory")
    asyncio.run(
        bootstrap(
            BootstrapSettings(
                database_url=SecretStr(told["LINLI_DATABASE_URL"]),
                relay_database_url=SecretStr(told["LINLI_RELAY_DATABASE_URL"]),
                nats_url=SecretStr(told["LINLI_NATS_URL"]),
                jwks_url=told["LINLI_JWKS_URL"],
                master_key=SecretStr(told["LINLI_MASTER_KEY"]),
                platform_client_secret=SecretStr(home.secret("platform_client_secret")),
            )
        )
    )


def _first_run(home: Home) -> None:
    """Fill a new platform with the commands a person would type; one that failed is tried again next time."""
    from linli_cli.main import run  # noqa: PLC0415 it loads this module

    done = home.first_run_done.read_text().splitlines() if home.first_run_done.exists() else []
    for command in FIRST_RUN:
        line = " ".join(command)
        if command[0] not in {known.split()[0] for known in done}:
            err.print(f"[bold]linli {line}[/]")
            run(command)
            done.append(line)
            home.first_run_done.write_text("\n".join(done) + "\n")


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Keep a second `up` out while one works.

    Raises:
        Trouble: when one does.
    """
    with (home.run / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Trouble("Another `linli up` is at work here.", "另一个 linli up 正在执行。") from None
        yield
