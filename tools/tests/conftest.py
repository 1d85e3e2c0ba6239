import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from uuid import uuid4

import pytest
from pyrage.x25519 import Identity

from linli.testing import free_port
from linli_cli.archive.places import Place
from linli_cli.archive.seal import Key, Lock
from linli_cli.home import Home
from linli_cli.stack.supervisor import BIN

T = TypeVar("T")
Linli = Callable[..., subprocess.CompletedProcess[str]]

FOLDER = "邻里 100% %(x)s"
"""Whoever names his folder so shall not be left outside."""


def new_home(folder: Path) -> Home:
    """Make a stack's home on 25 ports in a row that nobody uses, below those of the drill."""
    home = Home(folder, free_port(20_000, 29_000, several=25))
    home.create()
    home.remember()
    return home


def within(check: Callable[[], T], seconds: float = 30, every: float = 0.05) -> T:
    """Wait until a check gives something true, and does not fail, and give it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(AssertionError):
            if found := check():
                return found
        time.sleep(every)
    found = check()
    assert found
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A stack's home of the test's own."""
    for name in ("LINLI_PORT", "LINLI_RATE_LIMIT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LINLI_HOME", str(tmp_path / FOLDER))
    return new_home(tmp_path / FOLDER)


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Home]:
    """A stack's home that the tests of a module share."""
    # Not under pytest's folder: as root the database runs as another user, and every session of pytest that starts
    # closes that folder to others, even while a server works in it.
    with TemporaryDirectory(prefix="linli-stack-", ignore_cleanup_errors=True) as folder:
        yield new_home(Path(folder) / FOLDER)


@pytest.fixture(scope="module")
def linli(shared_home: Home) -> Iterator[Linli]:
    """The command, with a stack that is up and empty; it is taken down in the end."""
    (shared_home.run / "port").unlink()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LINLI_", "OTEL_"))},
        "LINLI_HOME": str(shared_home.root),
        "LINLI_PORT": str(shared_home.port),
        "COLUMNS": "400",
    }

    def linli(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [BIN / "linli", *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    try:
        linli("up", "--empty")
        yield linli
    finally:
        linli("down")


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where backups are kept, of each kind."""
    if request.param == "folder":
        return Place(str(tmp_path / "there"), make=True)
    return Place(f"{request.getfixturevalue('s3')}/{uuid4()}")


@pytest.fixture(scope="module")
def key() -> tuple[Lock, Key]:
    """For whom backups are encrypted, and what opens them."""
    identity = Identity.generate()
    return Lock((identity.to_public(),)), Key((identity,))
