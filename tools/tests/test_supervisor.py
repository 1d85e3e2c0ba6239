import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tools.tests.conftest import within

from linli_cli.console import Trouble
from linli_cli.home import Home
from linli_cli.stack.down import stop
from linli_cli.stack.ports import abandoned, orphans, require_free
from linli_cli.stack.programs import code, stamp
from linli_cli.stack.supervisor import Program, Supervisor

ODD = 'a%(x)s, "b" 中文=;$HOME'
SCRIPT = """
import os, pathlib, signal, sys, time
def ended():
    file = pathlib.Path(sys.argv[1])
    return file.read_text().count("\\n") if file.exists() else 0
def end(*_):
    while ended() < int(sys.argv[2]):
        time.sleep(0.05)
    print("ended", flush=True)
    with open(sys.argv[1], "a") as file: file.write(os.environ["NAME"] + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("begun", os.environ["NAME"], os.environ.get("ODD"), flush=True)
while True: time.sleep(60)
"""


def program(home: Home, name: str, order: int, *, after: int = 0, group: str = "") -> Program:
    """Give one that ends when it is told to, and so many others have ended."""
    script = home.root / "100% odd name.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(home.root / "ended"), str(after)]
    return Program(name, command, order, port=0, group=group, environment={"NAME": name, "ODD": ODD})


@pytest.fixture
def supervisor(home: Home) -> Iterator[Supervisor]:
    supervisor = Supervisor(home)
    yield supervisor
    stop(home)


def begun(home: Home, name: str) -> bool:
    path = home.logs / f"{name}.log"
    return path.exists() and f"begun {name} {ODD}\n" in path.read_text()


def test_processes_are_stopped_in_order_and_waited_for(home: Home, supervisor: Supervisor) -> None:
    programs = [
        program(home, "database", 10),
        program(home, "slow", 20, after=2, group="both"),
        program(home, "quick", 20, group="both"),
        program(home, "gateway", 40),
    ]
    supervisor.start(programs)
    assert supervisor.begin("database", "slow", "quick", "gateway") == ["database", "slow", "quick", "gateway"]
    within(lambda: all(begun(home, one.name) for one in programs))
    assert supervisor.begin("database", "slow") == []
    assert stop(home)
    assert (home.root / "ended").read_text().split() == ["gateway", "quick", "slow", "database"]
    assert not supervisor.running()
    assert not stop(home)


def test_a_killed_process_is_back_within_seconds(home: Home, supervisor: Supervisor) -> None:
    supervisor.start([program(home, "service", 10)])
    supervisor.begin("service")
    within(lambda: supervisor.states()["service"].word == "RUNNING")
    killed = supervisor.states()["service"].pid
    os.kill(killed, signal.SIGKILL)
    within(lambda: supervisor.states()["service"].pid not in {0, killed})


def test_a_changed_configuration_restarts_only_what_changed(home: Home, supervisor: Supervisor) -> None:
    programs = [program(home, "one", 10), program(home, "two", 10)]
    supervisor.start(programs)
    supervisor.begin("one", "two")
    within(lambda: begun(home, "one") and begun(home, "two"))
    before = supervisor.states()
    supervisor.start([programs[0], replace(programs[1], environment={"NAME": "new"})])
    supervisor.begin("one", "two")
    within(lambda: "begun new" in (home.logs / "two.log").read_text())
    assert supervisor.states()["one"].pid == before["one"].pid


def test_new_code_makes_a_service_differ_and_the_code_of_another_does_not(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name in ("requirements.lock", "services/tickets/src/a.py", "services/points/src/b.py", "libs/common/src/c.py"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("old")
    old = stamp(*code("tickets", project))
    (project / "services/points/src/b.py").write_text("new")
    assert stamp(*code("tickets", project)) == old
    (project / "libs/common/src/c.py").write_text("new")
    assert stamp(*code("tickets", project)) != old


def test_what_a_killed_supervisor_leaves_is_found_and_stopped(home: Home, supervisor: Supervisor) -> None:
    supervisor.start([program(home, "service", 10)])
    supervisor.begin("service")
    within(lambda: begun(home, "service"))
    left = supervisor.states()["service"].pid
    parent = psutil.Process(supervisor.pid())
    parent.kill()
    parent.wait(30)
    assert [process.pid for process in orphans(home)] == [left]
    assert {name: (state.pid, state.up) for name, state in abandoned(home).items()} == {"service": (left, True)}
    assert stop(home)
    assert not psutil.pid_exists(left)


def test_nobody_gives_orders_without_the_password(home: Home, supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start([program(home, "service", 10)])
    stranger = Home(tmp_path / "stranger", home.port)
    stranger.create()
    (stranger.run / "supervisord.conf").touch()
    assert supervisor.running()
    assert not Supervisor(stranger).running()
    assert (home.run / "supervisord.conf").stat().st_mode & 0o077 == 0


def test_a_taken_port_is_named_with_its_holder_and_the_way_out(home: Home) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", home.port + 3))
        other.listen()
        with pytest.raises(Trouble) as caught:
            require_free([("gateway", home.port), ("tickets", home.port + 3)])
    for words in (caught.value.english, caught.value.chinese):
        assert f"{home.port + 3}" in words
        assert f"pid {os.getpid()}" in words
        assert f"{home.port} " not in words
    assert "LINLI_PORT=" in caught.value.hint
