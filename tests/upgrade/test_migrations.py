"""Revisions: released ones stay as they are, and the code of the release before runs on beside new ones."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.upgrade.release import PROJECT, RELEASED, NoHistory, git, sources, unpack

_RENDER = Path(__file__).with_name("render.py")
_RULES = Path(__file__).with_name("squawk.toml")
_SQUAWK = Path(sys.executable).with_name("squawk")
_KEPT = re.compile(r"services/[^/]+/src/[^/]+/migrations/versions/.+\.py|libs/common/src/linli/sql/.+\.sql")
_TRANSACTION = re.compile(r"\nBEGIN;(.*?)\nCOMMIT;", re.DOTALL)

Revisions = dict[str, dict[str, str]]
"""The SQL of each service's revisions."""


def render(path: Iterable[Path], services: Iterable[str]) -> Revisions:
    """Give what revisions would do, by the code that lies on a path."""
    done = subprocess.run(
        [sys.executable, "-P", str(_RENDER), *services],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: Revisions = json.loads(done.stdout)
    return found


def services_of(project: Path) -> list[str]:
    return sorted(folder.parents[0].name for folder in project.glob("services/*/src/*/migrations"))


def lint(folder: Path, sql: dict[str, str]) -> str:
    """Read SQL with squawk; gives what it has against it."""
    for name, text in sql.items():
        (folder / f"{name}.sql").write_text(text)
    done = subprocess.run(
        [_SQUAWK, "--config", _RULES, "--reporter", "gcc", *(f"{name}.sql" for name in sql)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    found = [f"{name}: not-alone Something beside what needs no transaction" for name in sql if not _alone(sql[name])]
    return "\n".join([*found, *([done.stdout] if done.returncode else [])])


def _alone(sql: str) -> bool:
    """Tell whether a revision that leaves its transaction does nothing before or after: that would stay done alone."""
    inside = "".join(_TRANSACTION.findall(f"\n{sql}"))
    statements = re.sub(r"--[^\n]*|UPDATE alembic_version [^;]*;|\s", "", inside)
    return "CONCURRENTLY" not in sql or not statements


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Revisions:
    project = unpack(tmp_path_factory.mktemp("released"))
    return render(sources(project), services_of(project))


@pytest.fixture(scope="module")
def now() -> Revisions:
    return render(sources(PROJECT), services_of(PROJECT))


def test_released_revisions_and_their_sql_are_byte_for_byte_as_they_were() -> None:
    paths = [path for path in git("ls-tree", "-r", "--name-only", RELEASED).decode().splitlines() if _KEPT.match(path)]
    assert len(paths) >= 10
    changed = [
        path
        for path in paths
        if not (PROJECT / path).exists() or (PROJECT / path).read_bytes() != git("show", f"{RELEASED}:{path}")
    ]
    assert changed == []


def test_released_revisions_do_what_they_did_whatever_became_of_their_helpers(
    released: Revisions, now: Revisions
) -> None:
    for service, revisions in released.items():
        for revision, sql in revisions.items():
            assert now[service][revision] == sql, f"{service} {revision}"


def test_the_released_code_runs_on_beside_every_revision_it_does_not_know(
    released: Revisions, now: Revisions, tmp_path: Path
) -> None:
    new = {
        f"{service}-{revision}": sql
        for service, revisions in now.items()
        if service in released  # nobody runs beside a service that is new
        for revision, sql in revisions.items()
        if revision not in released[service]
    }
    found = lint(tmp_path, new) if new else ""
    assert not found, found


_BEFORE = "op.create_table('book', sa.Column('id', sa.BigInteger, primary_key=True), sa.Column('title', sa.Text))"
_FILE = """
import sqlalchemy as sa
from alembic import op
from linli import migrate
revision, down_revision = {0!r}, {1!r}
def upgrade():
    {2}
"""


STUMBLES = {
    "op.drop_column('book', 'title')": "ban-drop-column",
    "op.drop_table('book')": "ban-drop-table",
    "op.alter_column('book', 'title', new_column_name='name')": "renaming-column",
    "op.rename_table('book', 'volume')": "renaming-table",
    "op.add_column('book', sa.Column('n', sa.BigInteger, nullable=False))": "adding-required-field",
    "op.alter_column('book', 'title', nullable=False)": "ban-new-write-restriction",
    "op.alter_column('book', 'title', type_=sa.String(9))": "changing-column-type",
    "op.create_check_constraint('ck', 'book', 'id > 0')": "constraint-missing-not-valid",
    "op.execute('ALTER TABLE book ADD CONSTRAINT c CHECK (id > 0) NOT VALID')": "ban-new-write-restriction",
    "op.create_unique_constraint('uq', 'book', ['title'])": "disallowed-unique-constraint",
    "op.create_index('ix_book_title', 'book', ['title'])": "require-concurrent-index-creation",
    "op.execute('CREATE INDEX CONCURRENTLY ix ON book (title)')": "ban-concurrent-index-creation-in-transaction",
    "op.execute('DROP POLICY book_scoped ON book')": "ban-drop-policy",
    "op.execute('REVOKE INSERT ON book FROM linli_scoped')": "ban-revoke",
    "op.execute('ANALYZE book'); migrate.index('ix_book_title', 'book (title)')": "not-alone",
}
UNNOTICED = (
    "op.add_column('book', sa.Column('number', sa.SmallInteger))",
    "migrate.index('ix_book_title', 'book (title)')",
    "op.create_table('loan', sa.Column('id', sa.BigInteger)); op.create_index('ix_loan_id', 'loan', ['id'])",
    "op.execute('-- squawk-ignore ban-drop-constraint\\nALTER TABLE book DROP CONSTRAINT ck_book_state')",
)


@pytest.fixture(scope="module")
def revised(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the SQL of many a revision that follows one with a table."""
    folder = tmp_path_factory.mktemp("shops")
    cases = {f"shop_{number}": does for number, does in enumerate((*STUMBLES, *UNNOTICED))}
    for service, does in cases.items():
        versions = folder / service / "migrations" / "versions"
        versions.mkdir(parents=True)
        (folder / service / "__init__.py").touch()
        (versions / "0001.py").write_text(_FILE.format("0001", None, _BEFORE))
        (versions / "0002.py").write_text(_FILE.format("0002", "0001", does))
    rendered = render([folder, *sources(PROJECT)], cases)
    return {does: rendered[service]["0002"] for service, does in cases.items()}


@pytest.mark.parametrize("does", STUMBLES)
def test_what_old_code_would_stumble_over_is_found(tmp_path: Path, revised: dict[str, str], does: str) -> None:
    assert f" {STUMBLES[does]} " in lint(tmp_path, {"0002": revised[does]})


@pytest.mark.parametrize("does", UNNOTICED)
def test_what_old_code_does_not_notice_is_let_through(tmp_path: Path, revised: dict[str, str], does: str) -> None:
    assert lint(tmp_path, {"0002": revised[does]}) == ""


def test_without_the_history_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.upgrade.release.PROJECT", tmp_path)
    with pytest.raises(NoHistory, match=r"git fetch --unshallow.*\n.*git clone"):
        git("show", RELEASED)
