"""Needs, resources, projects and wishes."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from linli import migrate

revision = "0005b"
down_revision = "0005"

_REACH = "unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint"
_DISTRICT = (
    "district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer"
    " AND (current_setting('app.hi')::bigint / 1000000000000)::integer"
)
_NOBODY = "'00000000-0000-0000-0000-000000000000'"


def upgrade() -> None:
    _lists()
    _wishes()


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


def _lists() -> None:
    for table, owner, states in (
        ("need", "listed_by", ("listed", "matched", "met", "withdrawn")),
        ("resource", "provider", ("listed", "withdrawn")),
    ):
        migrate.table(
            table,
            _needed("kind", sa.Text),
            _needed("title", sa.Text),
            _needed("description", sa.Text),
            _needed(owner, sa.Uuid),
            _needed("state", sa.Text),
            _at("listed_at", nullable=False),
            _version(),
            _one_of(table, "state", *states),
        )
        op.create_index(f"ix_{table}_unit", table, ["unit", "id"])
        op.create_index(f"ix_{table}_kind", table, ["district", "kind", "state"])
    migrate.protect("need", worker="SELECT", person="SELECT")
    # What partners offer is there for the whole district; each changes his own, a unit those listed with it.
    migrate.guard("resource")
    mine = f"{_REACH} AND provider = current_setting('app.person')::uuid"
    for way, own in (("scoped", _REACH), ("worker", mine), ("person", mine)):
        migrate.policy_for("resource", way, "SELECT", _DISTRICT)
        if way != "worker":
            migrate.policy_for("resource", way, "INSERT", own)
            migrate.policy_for("resource", way, "UPDATE", own)
        op.execute(f"GRANT SELECT{'' if way == 'worker' else ', INSERT, UPDATE'} ON resource TO linli_{way}")
    migrate.table(
        "project",
        _needed("need_id", sa.Uuid),
        _needed("resource_id", sa.Uuid),
        _needed("provider", sa.Uuid),
        _needed("state", sa.Text),
        sa.Column("outcome", sa.Text),
        _needed("started_by", sa.Uuid),
        _at("started_at", nullable=False),
        sa.Column("ends_on", sa.Date),
        _at("ended_at"),
        _version(),
        _part_of("project", "need", "need_id"),
        _part_of("project", "resource", "resource_id"),
        _one_of("project", "state", "running", "ended"),
        _one_of("project", "outcome", "met", "unmet"),
        _check("project", "ended", "(state = 'ended') = (ended_at IS NOT NULL)"),
        _check("project", "outcome_known", "(state = 'ended') = (outcome IS NOT NULL)"),
    )
    op.create_index("ix_project_unit", "project", ["unit", "id"])
    op.create_index("ix_project_provider", "project", ["provider", "id"])
    op.create_index(
        "uq_project_running",
        "project",
        ["district", "need_id"],
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
    )
    migrate.protect("project", person="SELECT", person_column="provider")
    migrate.table(
        "project_step",
        _needed("project_id", sa.Uuid),
        _needed("provider", sa.Uuid),
        _needed("title", sa.Text),
        sa.Column("due_on", sa.Date),
        _at("done_at"),
        sa.Column("done_by", sa.Uuid),
        _part_of("project_step", "project", "project_id"),
        _check("project_step", "done", "(done_at IS NULL) = (done_by IS NULL)"),
    )
    op.create_index("ix_project_step_project", "project_step", ["district", "project_id", "id"])
    migrate.protect("project_step", person="SELECT", person_column="provider")


def _wishes() -> None:
    migrate.table(
        "wish",
        _needed("kind", sa.Text),
        _needed("title", sa.Text),
        _needed("description", sa.Text),
        _needed("state", sa.Text),
        sa.Column("claimer", sa.Uuid, nullable=False, server_default=sa.text(_NOBODY)),
        _at("claimed_at"),
        _at("claim_due_at"),
        _at("listed_at", nullable=False),
        _at("fulfilled_at"),
        _at("confirmed_at"),
        _version(),
        sa.UniqueConstraint("district", "id", "claimer", name="uq_wish_claimer"),
        _one_of("wish", "state", "listed", "claimed", "fulfilled", "confirmed", "withdrawn"),
        _check("wish", "claimed", f"(state IN ('listed', 'withdrawn')) = (claimer = {_NOBODY})"),
        _check("wish", "claim_due", "(state = 'claimed') = (claim_due_at IS NOT NULL)"),
        _check("wish", "claimed_at", "(state IN ('listed', 'withdrawn')) = (claimed_at IS NULL)"),
        _check("wish", "fulfilled", "(state IN ('fulfilled', 'confirmed')) = (fulfilled_at IS NOT NULL)"),
        _check("wish", "confirmed", "(state = 'confirmed') = (confirmed_at IS NOT NULL)"),
    )
    op.create_index("ix_wish_unit", "wish", ["unit", "id"])
    op.create_index("ix_wish_claimer", "wish", ["claimer", "id"])
    step = "state, claimer, claimed_at, claim_due_at, fulfilled_at, confirmed_at, version"
    rights = f"SELECT, INSERT, UPDATE ({step})"
    migrate.protect("wish", worker=rights, person=rights)
    # Who wished stands apart from what everybody reads; the claimer sees it while he is the claimer, by the key.
    migrate.table(
        "wish_person",
        _needed("wisher", sa.Uuid),
        _needed("claimer", sa.Uuid),
        sa.ForeignKeyConstraint(
            ["district", "id", "claimer"],
            ["wish.district", "wish.id", "wish.claimer"],
            name="fk_wish_person_wish",
            onupdate="CASCADE",
        ),
    )
    op.create_index("ix_wish_person_wisher", "wish_person", ["wisher", "id"])
    migrate.guard("wish_person")
    grids = "unit_grid = ANY (current_setting('app.grids')::bigint[])"
    concerned = f"{_REACH} AND current_setting('app.person')::uuid = ANY (ARRAY[wisher, claimer])"
    for way, condition in (("scoped", _REACH), ("worker", grids), ("person", concerned)):
        migrate.policy("wish_person", way, condition)
        op.execute(f"GRANT SELECT, INSERT ON wish_person TO linli_{way}")
