"""`make security` tells apart: a weakness, none, and nobody who knows; and it sees a secret that is planted."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from tools.security import check

Fake = Callable[..., list[str]]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """Something that answers as pip-audit does."""

    def fake(code: int, said: object = None, complained: str = "", *, only: str = "") -> list[str]:
        script = tmp_path / "pip_audit.py"
        script.write_text(
            "import sys\n"
            f"if {only!r} and {only!r} not in sys.argv:\n    sys.stderr.write('requests.ConnectionError: x')\n"
            f"    sys.exit(1)\nsys.stdout.write({json.dumps(said) if said else ''!r})\n"
            f"sys.stderr.write({complained!r})\nsys.exit({code})\n"
        )
        return [sys.executable, str(script)]

    return fake


def answer(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages), "fixes": []}


WELL = {"name": "anyio", "version": "4.16.0", "vulns": []}
WEAK = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
SKIPPED = {"name": "anyio", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def test_packages_without_a_known_weakness_pass(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.packages(fake(0, answer(WELL, WELL))) == 0
    assert "2 of 2 packages looked up at pypi, 0 with" in capsys.readouterr().out


def test_a_known_weakness_is_named_and_fails(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.packages(fake(1, answer(WELL, WEAK))) == 1
    assert "✗ old 1.0: PYSEC-1 (fixed in ['1.1'])" in capsys.readouterr().out


@pytest.mark.parametrize(
    "away",
    [
        (1, None, "requests.exceptions.ConnectionError: Failed to resolve"),
        (1, None, "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed"),
        # A mirror has packages and knows nothing of weaknesses; pip-audit says all is well.
        (0, answer(SKIPPED, SKIPPED), "No known vulnerabilities found"),
    ],
)
def test_where_nobody_answers_it_says_that_nothing_was_looked_up(
    fake: Fake, away: tuple[int, Any, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.packages(fake(*away)) == 0
    said = capsys.readouterr().out
    assert "LEFT OUT, nothing was looked up" in said
    assert "looked up at" not in said


def test_the_other_service_is_asked_when_the_first_is_away(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.packages(fake(1, answer(WEAK), only="osv")) == 1
    assert "looked up at osv" in capsys.readouterr().out


def test_a_package_that_one_service_passes_over_is_not_counted(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.packages(fake(0, answer(WELL, SKIPPED))) == 0
    assert "1 of 2 packages looked up" in capsys.readouterr().out


def test_a_lock_that_can_not_be_read_is_a_failure(fake: Fake) -> None:
    assert check.packages(fake(1, None, "ERROR:pip_audit._cli:requirement is not hashed")) == 1


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with this one's baseline, and nothing in it."""
    baseline = json.loads((check.PROJECT / check.BASELINE).read_text())
    (tmp_path / check.BASELINE).write_text(json.dumps({**baseline, "results": {}}))
    (tmp_path / "clean.py").write_text("LIMIT = 12\n")
    subprocess.run([shutil.which("git") or "git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize(
    "planted",
    [
        'password = "Tr0ub4dor-and-3"',
        "AWS_ID = 'AKIA" + "QYLPMN5HFIQR7XYA'",
        "-----BEGIN EC " + "PRIVATE KEY-----",
        "url = 'postgresql://postgres:hunter22@10.0.0.1/x'",
        "LINLI_MASTER_KEY=" + "hk1U0rUM4m1pUy5Oq0sYV3nT0pXwVbJYwq6hU2m1YlQ=",
    ],
)
def test_a_planted_secret_is_seen(project: Path, planted: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.secrets(project) == 0
    (project / "new.env").write_text(planted + "\n")
    assert check.secrets(project) == 1
    assert "✗ new.env:1:" in capsys.readouterr().out


def test_what_only_looks_like_a_secret_passes_once_a_person_has_said_so(project: Path) -> None:
    (project / "new.py").write_text('password = "made up"\n')
    baseline = json.loads((project / check.BASELINE).read_text())
    digest = sha1(b"made up").hexdigest()  # noqa: S324 detect-secrets' own
    entry = {"type": "Secret Keyword", "filename": "new.py", "hashed_secret": digest, "line_number": 1}
    for verdict, code in (({}, 1), ({"is_secret": True}, 1), ({"is_secret": False}, 0)):
        baseline["results"] = {"new.py": [entry | verdict]}
        (project / check.BASELINE).write_text(json.dumps(baseline))
        assert check.secrets(project) == code


def test_every_exception_was_looked_at() -> None:
    baseline = json.loads((check.PROJECT / check.BASELINE).read_text())
    assert [
        one for several in baseline["results"].values() for one in several if one.get("is_secret") is not False
    ] == []
    plugins = {one["name"] for one in baseline["plugins_used"]}
    assert {"KeywordDetector", "PrivateKeyDetector", "BasicAuthDetector", "Base64HighEntropyString"} <= plugins
