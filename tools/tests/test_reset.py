import pytest

from linli_cli.home import Home
from linli_cli.stack.down import reset


@pytest.fixture
def used(home: Home) -> Home:
    """The home of a platform that was used and is stopped: something lies in each of its folders."""
    for folder in (home.data / "postgres", home.files / "310104" / "ab", home.spool / "primary", home.logs, home.run):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "something").write_text("what a resident said")
    home.secret("master_key")
    return home


def test_nothing_but_secrets_is_left(used: Home, capsys: pytest.CaptureFixture[str]) -> None:
    reset(yes=True)
    assert [path.name for path in used.root.iterdir()] == ["secrets"]
    assert (used.secrets / "master_key").exists()
    assert "tickets' files" in capsys.readouterr().err


def test_files_elsewhere_are_somebodys_own_to_delete(
    used: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINLI_FILES", "s3://bucket/files")
    reset(yes=True)
    assert "s3://bucket/files are not deleted" in capsys.readouterr().err
    assert not used.files.exists()
