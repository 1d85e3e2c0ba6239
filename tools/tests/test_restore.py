"""A restore into the embedded stack's home: what stays when something fails on the way, and what is said."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

import linli.bootstrap
from linli_cli.backup import embedded
from linli_cli.backup.lay import Point
from linli_cli.backup.opened import Backup
from linli_cli.console import Trouble
from linli_cli.home import Home
from linli_cli.stack import database

Fails = Callable[[str], None]


class Sealed:
    """A backup of which a restore reads nothing but the secrets."""

    place = key = None
    receipt = SimpleNamespace(name="linli-1")

    def secrets(self) -> dict[str, str]:
        return {"master_key": base64.b64encode(bytes(32)).decode(), "postgres": "x"}


@pytest.fixture
def fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Restore, with a database server that is none, and have one of the steps fail."""

    @contextmanager
    def server(_: Home) -> Iterator[None]:
        yield

    async def well(*_: Any) -> None: ...  # noqa: ANN401 whatever it is asked with

    def lay(home: Home, *_: object) -> None:
        (home.data / "postgres").mkdir()
        (home.data / "postgres" / "PG_VERSION").touch()

    monkeypatch.setattr(embedded, "_lay", lay)
    monkeypatch.setattr(embedded, "_postgres", server)
    monkeypatch.setattr(embedded, "_recovered", well)
    monkeypatch.setattr(linli.bootstrap, "provision", well)
    monkeypatch.setattr(database, "migrate_all", lambda _: None)

    def restore(failing: str) -> None:
        async def broken(*_: Any) -> None:  # noqa: ANN401 as above
            raise Trouble("It broke.", "坏了。")

        monkeypatch.setattr(embedded, failing, broken)
        with pytest.raises(Trouble, match="It broke"):
            embedded.restore(home, cast("Backup", Sealed()), Point(), 60)

    return restore


def test_what_was_not_recovered_makes_room_for_the_next_try(fails: Fails, home: Home) -> None:
    fails("_recovered")
    assert not (home.data / "postgres").exists()


def test_a_proof_that_fails_deletes_nothing_of_what_was_recovered(
    fails: Fails, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    fails("proved")
    assert (home.data / "postgres" / "PG_VERSION").exists()
    assert home.first_run_done.exists(), "else the next start would fill it with a demo"
    assert "are restored and stay in" in capsys.readouterr().err.replace("\n", " ")
