import base64
import stat
from pathlib import Path

import pytest

from linli_cli.console import Trouble
from linli_cli.home import Home, wished_port


def test_a_secret_is_made_once_and_readable_by_its_owner_only(home: Home) -> None:
    first = home.secret("nats_admin")
    assert home.secret("nats_admin") == first
    assert home.secret("postgres") != first
    path = home.root / "secrets" / "nats_admin"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device")])
def test_a_secret_that_cannot_be_had_is_named_with_what_to_do(
    home: Home, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    home.secret("postgres")

    def refuse(*_: object, **__: object) -> str:
        raise error

    for way in ("read_text", "write_text"):
        monkeypatch.setattr(Path, way, refuse)
    for name in ("postgres", "new"):
        with pytest.raises(Trouble, match=f"{name} cannot be read or made: {error.strerror}") as caught:
            home.secret(name)
        assert "密钥" in caught.value.chinese
        assert "run the command as" in caught.value.hint


def test_logs_and_secrets_are_closed_to_others_whatever_they_were(home: Home) -> None:
    home.create()
    closed = [home.logs, home.root / "secrets"]
    for folder in closed:
        folder.chmod(0o755)
    home.create()
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in closed] == [0o700] * 2
    assert stat.S_IMODE(home.data.stat().st_mode) == 0o711


def test_the_master_key_is_32_random_bytes(home: Home) -> None:
    assert len(base64.b64decode(home.master_key())) == 32


def test_the_port_a_stack_was_started_on_is_remembered(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_PORT", "9999")
    assert Home.find().port == home.port


def test_a_new_stack_takes_linli_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("LINLI_PORT", "9080")
    assert Home.find().port == 9080
    monkeypatch.delenv("LINLI_PORT")
    assert Home.find().port == 8080


@pytest.mark.parametrize("port", ["80", "65530", "http", "-1", "８０８０", "8080.5"])
def test_an_unusable_linli_port_is_named(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINLI_PORT", port)
    with pytest.raises(Trouble, match=f"LINLI_PORT={port}"):
        wished_port()


def test_a_command_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="no embedded stack") as caught:
        Home(tmp_path, 8080).require()
    assert "make up" in caught.value.hint
