"""`make security` tells apart: a weakness, none, and nobody who knows; and it sees a secret that is planted."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tools.security import check

Fake = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _no_service_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_AUDIT_OSV_URL", raising=False)


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


class Osv:
    """Stands in for a district's own OSV service: what is weak in which version, and what it was asked."""

    def __init__(self) -> None:
        self.weak: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                said = b"<html>Please sign in</html>"
                if self.path == "/v1/query" and query["package"]["ecosystem"] == "PyPI":
                    package = (query["package"]["name"], query["version"])
                    outer.asked.append(package)
                    # To know nothing is to answer with an empty object, as OSV does.
                    said = json.dumps({"vulns": [outer.weak[package]]} if package in outer.weak else {}).encode()
                self.send_response(404 if self.path == "/gone" else 200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def osv(monkeypatch: pytest.MonkeyPatch) -> Iterator[Osv]:
    found = Osv()
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"{found.url}/v1/query")
    yield found
    found.close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "requirements.lock"
    file.write_text("".join(f"{package} --hash=sha256:{'0' * 64}\n" for package in ("anyio==4.16.0", "old==1.0")))
    return file


def test_pip_audit_looks_every_locked_package_up_at_a_service_of_ones_own(
    osv: Osv, lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.packages(lock=lock) == 0
    assert sorted(osv.asked) == [("anyio", "4.16.0"), ("old", "1.0")]
    assert "2 of 2 packages looked up at osv, 0 with" in capsys.readouterr().out


def test_a_weakness_that_a_service_of_ones_own_knows_is_named_and_fails(
    osv: Osv, lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    osv.weak["old", "1.0"] = {
        "id": "PYSEC-2026-1",
        "published": "2026-01-02T03:04:05Z",
        "details": "It lets anybody in.",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "old"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
            }
        ],
    }
    assert check.packages(lock=lock) == 1
    said = capsys.readouterr().out
    assert "✗ old 1.0: PYSEC-2026-1 (fixed in ['1.1'])" in said
    assert "2 of 2 packages looked up at osv, 1 with" in said


@pytest.mark.parametrize("path", ["/gone", "/sign-in", None])
def test_a_service_of_ones_own_that_does_not_answer_is_a_failure(
    osv: Osv, lock: Path, path: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if path:
        monkeypatch.setenv("PIP_AUDIT_OSV_URL", osv.url + path)
    else:
        osv.close()
    assert check.packages(lock=lock) == 1
    said = capsys.readouterr().out
    assert "PIP_AUDIT_OSV_URL names does not answer, nothing was looked up" in said
    assert "PIP_AUDIT_OSV_URL 指定的 OSV 漏洞库未应答，未作任何查询" in said
    assert "LEFT OUT" not in said


def test_a_service_of_ones_own_is_asked_instead_of_the_public_ones(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "https://osv.example.gov.cn/v1/query")
    assert check.packages(fake(0, answer(WELL))) == 0
    assert "looked up at osv" in capsys.readouterr().out
    assert check.packages(fake(0, answer(WELL), only="pypi")) == 1


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
