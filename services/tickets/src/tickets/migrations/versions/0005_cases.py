"""Cases and errands."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from linli import migrate

revision = "0005"
down_revision = "0004"

_REACH = "unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint"
_DISTRICT = (
    "district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer"
    " AND (current_setting('app.hi')::bigint / 1000000000000)::integer"
)
_ON_THE_TEAM = f"{_REACH} AND current_setting('app.person')::uuid = ANY (members)"
_NOBODY = "'00000000-0000-0000-0000-000000000000'"
_MEMBERS = sa.ARRAY(sa.Uuid)


def upgrade() -> None:
    migrate.sql("data_key")
    migrate.sql("audit")
    _people_read_cases()
    _teams()
    _cases()
    _errands()


def _needed(name: str, kind: type[sa.types.TypeEngine[Any]]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _at(name: str, *, nullable: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _version() -> sa.Column[Any]:
    return _needed("version", sa.BigInteger)


def _part_of(table: str, whole: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["district", column], [f"{whole}.district", f"{whole}.id"], name=f"fk_{table}_{whole}"
    )


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=f"ck_{table}_{name}")


def _one_of(table: str, column: str, *values: str) -> sa.CheckConstraint:
    return _check(table, column, f"{column} IN ({', '.join(map(repr, values))})")


def _people_read_cases() -> None:
    """Let a person note what he reads, and read what was sealed: a team's members are anybody, of any office."""
    migrate.policy("audit", "person", f"{_REACH} AND actor = current_setting('app.person')::uuid")
    migrate.policy("audit_head", "person", _DISTRICT)
    migrate.policy("data_key", "person", _DISTRICT)
    op.execute("GRANT SELECT, INSERT ON audit TO linli_person")
    op.execute("GRANT SELECT, INSERT, UPDATE ON audit_head TO linli_person")
    op.execute("GRANT SELECT, INSERT ON data_key TO linli_person")


def _teams() -> None:
    migrate.table(
        "case_team",
        _needed("grade", sa.SmallInteger),
        _needed("name", sa.Text),
        _needed("active", sa.Boolean),
        sa.Column("members", _MEMBERS, nullable=False),
        _version(),
        sa.UniqueConstraint("district", "unit", "grade", name="uq_case_team_grade"),
        sa.UniqueConstraint("district", "id", "members", name="uq_case_team_members"),
        _check("case_team", "grade", "grade BETWEEN 1 AND 4"),
        _check("case_team", "platform", f"members[1] = {_NOBODY}"),
        _check("case_team", "members", "array_ndims(members) = 1 AND cardinality(members) BETWEEN 2 AND 31"),
    )
    migrate.guard("case_team")
    # A community's case may need the district's team.
    migrate.policy_for("case_team", "scoped", "SELECT", _DISTRICT)
    migrate.policy_for("case_team", "scoped", "INSERT", _REACH)
    migrate.policy_for("case_team", "scoped", "UPDATE", _REACH)
    migrate.policy_for("case_team", "person", "SELECT", _DISTRICT)
    op.execute("GRANT SELECT, INSERT, UPDATE ON case_team TO linli_scoped")
    op.execute("GRANT SELECT ON case_team TO linli_person")


def _confide(table: str, rights: str) -> None:
    """Show a table's rows to the case's team alone, wherever its members work; the clocks are on each team."""
    migrate.guard(table)
    for way in ("scoped", "person"):
        migrate.policy(table, way, _ON_THE_TEAM)
        op.execute(f"GRANT {rights} ON {table} TO linli_{way}")


def _case_part(name: str, rights: str, *columns: sa.schema.SchemaItem) -> None:
    """Make a table of a case's parts; who is on the team is kept beside each by the database itself."""
    migrate.table(
        name,
        _needed("case_id", sa.Uuid),
        sa.Column("members", _MEMBERS, nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["district", "case_id", "members"],
            ["case_file.district", "case_file.id", "case_file.members"],
            name=f"fk_{name}_case",
            onupdate="CASCADE",
        ),
    )
    op.create_index(f"ix_{name}_case", name, ["district", "case_id", "id"])
    _confide(name, rights)


def _cases() -> None:
    migrate.table(
        "case_file",
        _needed("team_id", sa.Uuid),
        sa.Column("members", _MEMBERS, nullable=False),
        sa.Column("ticket_id", sa.Uuid),
        _needed("grade", sa.SmallInteger),
        _needed("summary_cipher", sa.LargeBinary),
        _needed("state", sa.Text),
        sa.Column("outcome", sa.Text),
        sa.Column("effect", sa.Text),
        _needed("opened_by", sa.Uuid),
        _at("opened_at", nullable=False),
        _at("closed_at"),
        _version(),
        # A team that changes takes its cases along, and these their parts.
        sa.ForeignKeyConstraint(
            ["district", "team_id", "members"],
            ["case_team.district", "case_team.id", "case_team.members"],
            name="fk_case_file_team",
            onupdate="CASCADE",
        ),
        _part_of("case_file", "ticket", "ticket_id"),
        sa.UniqueConstraint("district", "ticket_id", name="uq_case_file_ticket"),
        sa.UniqueConstraint("district", "id", "members", name="uq_case_file_members"),
        _check("case_file", "grade", "grade BETWEEN 1 AND 4"),
        _one_of("case_file", "state", "open", "closed"),
        _one_of("case_file", "outcome", "settled", "failed", "withdrawn", "referred"),
        _one_of("case_file", "effect", "kept", "broken"),
        _check("case_file", "closed", "(state = 'closed') = (closed_at IS NOT NULL)"),
        _check("case_file", "ended", "(state = 'closed') = (outcome IS NOT NULL)"),
    )
    op.create_index("ix_case_file_unit", "case_file", ["unit", "id"])
    op.create_index("ix_case_file_team", "case_file", ["district", "team_id"])
    _confide("case_file", "SELECT, INSERT, UPDATE")
    _case_part(
        "case_party",
        "SELECT, INSERT",
        _needed("side", sa.Text),
        sa.Column("resident", sa.Uuid),
        sa.Column("name_cipher", sa.LargeBinary),
        _one_of("case_party", "side", "applicant", "respondent", "other"),
        _check("case_party", "who", "num_nonnulls(resident, name_cipher) = 1"),
    )
    _case_part(
        "case_conference",
        "SELECT, INSERT",
        _at("held_at", nullable=False),
        _needed("minutes_cipher", sa.LargeBinary),
    )
    _case_part(
        "case_agreement",
        "SELECT, INSERT",
        _needed("signed_on", sa.Date),
        _needed("duties_cipher", sa.LargeBinary),
    )
    _case_part(
        "case_follow_up",
        "SELECT, INSERT, UPDATE",
        _at("due_at", nullable=False),
        _at("done_at"),
        sa.Column("done_by", sa.Uuid),
        sa.Column("effect", sa.Text),
        sa.Column("findings_cipher", sa.LargeBinary),
        _version(),
        _one_of("case_follow_up", "effect", "kept", "broken"),
        _check("case_follow_up", "done", "num_nulls(done_at, done_by, findings_cipher) IN (0, 3)"),
        _check("case_follow_up", "effect_found", "effect IS NULL OR done_at IS NOT NULL"),
    )
    # Only ever added to.
    _case_part(
        "case_entry",
        "SELECT, INSERT",
        _needed("sequence", sa.BigInteger),
        _needed("step", sa.Text),
        _needed("actor", sa.Uuid),
        sa.Column("about", sa.Uuid),
        sa.Column("grade", sa.SmallInteger),
        sa.Column("note_cipher", sa.LargeBinary),
        sa.Column("trace_id", sa.Text),
        _at("at", nullable=False),
        sa.UniqueConstraint("district", "case_id", "sequence", name="uq_case_entry_sequence"),
    )


def _errands() -> None:
    migrate.table(
        "errand",
        _needed("served", sa.Uuid),
        _needed("worker", sa.Uuid),
        _needed("title", sa.Text),
        _needed("state", sa.Text),
        sa.Column("office", sa.Text),
        sa.Column("reference", sa.Text),
        sa.Column("result", sa.Text),
        _at("stepped_at", nullable=False),
        _at("due_at"),
        _at("opened_at", nullable=False),
        _at("filed_at"),
        _at("done_at"),
        _version(),
        _one_of("errand", "state", "collecting", "filed", "done"),
        _one_of("errand", "result", "granted", "refused", "withdrawn"),
        _check("errand", "filed", "state <> 'filed' OR num_nulls(filed_at, office) = 0"),
        _check(
            "errand", "done", "(state = 'done') = (done_at IS NOT NULL) AND (state = 'done') = (result IS NOT NULL)"
        ),
        _check("errand", "due", "(state = 'done') = (due_at IS NULL)"),
    )
    op.create_index("ix_errand_unit", "errand", ["unit", "id"])
    op.create_index("ix_errand_unit_grid", "errand", ["unit_grid", "id"])
    op.create_index("ix_errand_served", "errand", ["served", "id"])
    migrate.table(
        "errand_paper",
        _needed("errand_id", sa.Uuid),
        _needed("served", sa.Uuid),
        _needed("name", sa.Text),
        _at("asked_at", nullable=False),
        _at("handed_at"),
        sa.Column("handed_by", sa.Text),
        sa.Column("received_by", sa.Uuid),
        _part_of("errand_paper", "errand", "errand_id"),
        sa.UniqueConstraint("district", "errand_id", "name", name="uq_errand_paper_name"),
        _one_of("errand_paper", "handed_by", "served", "family", "neighbour", "office", "other"),
        _check("errand_paper", "handed", "num_nulls(handed_at, handed_by, received_by) IN (0, 3)"),
    )
    migrate.table(
        "errand_entry",
        _needed("errand_id", sa.Uuid),
        _needed("served", sa.Uuid),
        _needed("sequence", sa.BigInteger),
        _needed("step", sa.Text),
        _needed("actor", sa.Uuid),
        sa.Column("note", sa.Text),
        sa.Column("trace_id", sa.Text),
        _at("at", nullable=False),
        _part_of("errand_entry", "errand", "errand_id"),
        sa.UniqueConstraint("district", "errand_id", "sequence", name="uq_errand_entry_sequence"),
    )
    for table, rights in (
        ("errand", "SELECT, INSERT, UPDATE"),
        ("errand_paper", "SELECT, INSERT, UPDATE"),
        ("errand_entry", "SELECT, INSERT"),
    ):
        migrate.protect(table, scoped=rights, worker=rights, person="SELECT", person_column="served")
