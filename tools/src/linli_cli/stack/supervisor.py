"""Keeps the stack's processes alive: supervisord, its configuration and the orders it takes."""

import os
import shlex
import subprocess
import sysconfig
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ProtocolError, ServerProxy, Transport

from linli_cli.console import Trouble
from linli_cli.home import Home

BIN = Path(sysconfig.get_path("scripts"))
"""Where the wheels put their programs."""
MARK = "LINLI_STACK"
"""Environment variable by which a process is known as part of a stack, even when the supervisor is gone."""
_RPC_SECONDS = 30
_INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "SSL_CERT_FILE", "TZ")


@dataclass(frozen=True)
class Program:
    """One process: how it is started, in which order, and how it is stopped without loss."""

    name: str
    command: list[str]
    order: int
    """Lower starts first and stops last; the same number stops together."""
    port: int
    group: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    settled_seconds: int = 1
    """An end before this many seconds counts as a failed start, and the next try waits longer."""
    user: str = ""


def configuration(home: Home, programs: Iterable[Program]) -> str:
    """Write supervisord's configuration; paths are relative, because it would expand a `%` in them twice."""
    sections = [
        f"""\
[supervisord]
logfile=logs/supervisor.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile=run/supervisord.pid
childlogdir=logs
{"user=root" if os.geteuid() == 0 else ""}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[inet_http_server]
port=127.0.0.1:{home.supervisor_port}
username=linli
password={home.secret("supervisor")}
"""
    ]
    groups: dict[str, list[Program]] = {}
    for program in programs:
        groups.setdefault(program.group or program.name, []).append(program)
        environment = {MARK: str(home.root), **program.environment}
        sections.append(f"""\
[program:{program.name}]
command={_text(shlex.join(program.command))}
environment={",".join(_variable(*one) for one in sorted(environment.items()))}
priority={program.order}
autostart=false
autorestart=true
startsecs={program.settled_seconds}
startretries=30
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_seconds}
redirect_stderr=true
stdout_logfile=logs/{program.name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=3
{f"user={program.user}" if program.user else ""}
""")
    for name, members in groups.items():
        sections.append(f"""\
[group:{name}]
programs={",".join(member.name for member in members)}
priority={members[0].order}
""")
    return "\n".join(sections)


def _text(value: object) -> str:
    """Escape a value: supervisor expands `%(...)s`."""
    return str(value).replace("%", "%%")


def _variable(name: str, value: str) -> str:
    """Quote an environment variable; supervisor knows both quotes, and no escape in them."""
    quote = "'" if '"' in value else '"'
    if quote in value or "\n" in value:
        raise Trouble(
            f"{name} must not have both quotes or a line break in it.", f"{name} 中不能同时含有两种引号或换行。"
        )
    return f"{name}={quote}{_text(value)}{quote}"


@dataclass(frozen=True)
class State:
    """What the supervisor knows of a process."""

    name: str
    group: str
    word: str
    pid: int
    seconds: int

    @property
    def up(self) -> bool:
        """Whether it runs, or is about to."""
        return self.word in {"RUNNING", "STARTING"}


class _Transport(Transport):
    def make_connection(self, host: Any) -> HTTPConnection:  # noqa: ANN401 the standard library's own type
        connection = super().make_connection(host)
        connection.timeout = _RPC_SECONDS
        return connection


class Supervisor:
    """Gives orders to the stack's supervisord."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._file = home.run / "supervisord.conf"

    def _order(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 what an order answers differs
        address = f"http://linli:{self._home.secret('supervisor')}@127.0.0.1:{self._home.supervisor_port}/RPC2"
        with ServerProxy(address, transport=_Transport()) as proxy:
            return getattr(proxy.supervisor, name)(*arguments)

    def running(self) -> bool:
        """Tell whether this stack's supervisor answers."""
        if not self._file.exists():
            return False
        try:
            return bool(self._order("getPID"))
        except (OSError, ProtocolError):
            return False

    def start(self, programs: Iterable[Program]) -> None:
        """Start the supervisor, or let a running one take over what changed in the configuration.

        Raises:
            Trouble: when it does not come up.
        """
        self._file.touch(mode=0o600)  # it carries passwords
        self._file.write_text(configuration(self._home, programs), encoding="utf-8")
        if self.running():
            self._update()
            return
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        done = subprocess.run(
            [BIN / "supervisord", "-c", self._file],
            cwd=self._home.root,
            env={**environment, "PYTHONDONTWRITEBYTECODE": "", "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            timeout=_RPC_SECONDS,
            check=False,
        )
        deadline = time.monotonic() + _RPC_SECONDS
        while not self.running():
            if done.returncode or time.monotonic() > deadline:
                raise Trouble(
                    f"The supervisor did not start: {done.stderr.strip() or done.stdout.strip()}",
                    "进程管理器未能启动。",
                    hint=f"Its log 日志: {self._home.logs / 'supervisor.log'}",
                )
            time.sleep(0.05)

    def _update(self) -> None:
        [[added, changed, removed]] = self._order("reloadConfig")
        for group in [*removed, *changed]:
            self._order("stopProcessGroup", group)
            self._order("removeProcessGroup", group)
        for group in [*added, *changed]:
            self._order("addProcessGroup", group)

    def states(self) -> dict[str, State]:
        """Give the state of every process by name; empty when the supervisor is not there."""
        try:
            found = self._order("getAllProcessInfo")
        except (OSError, ProtocolError):
            return {}
        return {
            one["name"]: State(one["name"], one["group"], one["statename"], one["pid"], one["now"] - one["start"])
            for one in found
        }

    def begin(self, *names: str) -> list[str]:
        """Start those of the processes that do not run; give the names of those it started."""
        states = self.states()
        missing = [name for name in names if not states[name].up]
        for name in missing:
            try:
                self._order("startProcess", f"{states[name].group}:{name}", False)  # noqa: FBT003 XML-RPC has no names
            except Fault as fault:
                raise Trouble(f"{name} could not be started: {fault.faultString}", f"{name} 无法启动。") from fault
        return missing

    def pid(self) -> int:
        """Give the supervisor's own process id."""
        return int(self._order("getPID"))

    def stop(self) -> None:
        """Order all processes down, in their order, and the supervisor after them."""
        self._order("shutdown")
