"""Accounts, the transfers between them, and the rules that earn points."""

import sqlalchemy as sa
from alembic import op

from linli import migrate

revision = "0001"
down_revision = None


def upgrade() -> None:
    migrate.chassis(known_units=True)
    op.create_table(
        "account",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("holder", sa.Uuid),
        sa.Column("balance", sa.BigInteger, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_account"),
        sa.UniqueConstraint("district", "holder", name="uq_account_holder"),
        sa.CheckConstraint("kind IN ('issuer', 'member')", name="ck_account_kind"),
        sa.CheckConstraint("(kind = 'member') = (holder IS NOT NULL)", name="ck_account_holder"),
        sa.CheckConstraint(
            "CASE kind WHEN 'member' THEN balance >= 0 ELSE balance <= 0 END", name="ck_account_balance"
        ),
    )
    op.create_index(
        "uq_account_issuer", "account", ["district", "unit"], unique=True, postgresql_where=sa.text("kind = 'issuer'")
    )
    # An award follows a ticket whose unit the tickets service knew; it does not wait for this service's copy of it.
    migrate.placed("account", known=False)
    migrate.protect(
        "account",
        scoped="SELECT, INSERT, UPDATE (balance, version)",
        worker="SELECT",
        person="SELECT",
        person_column="holder",
    )
    op.create_table(
        "transfer",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("holder", sa.Uuid, nullable=False),
        sa.Column("debit_account", sa.Uuid, nullable=False),
        sa.Column("credit_account", sa.Uuid, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("rule", sa.String, nullable=False),
        sa.Column("cause", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("trace_id", sa.String),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_transfer"),
        sa.ForeignKeyConstraint(
            ["district", "debit_account"], ["account.district", "account.id"], name="fk_transfer_debit_account"
        ),
        sa.ForeignKeyConstraint(
            ["district", "credit_account"], ["account.district", "account.id"], name="fk_transfer_credit_account"
        ),
        sa.UniqueConstraint("district", "rule", "cause", name="uq_transfer_cause"),
        sa.CheckConstraint("amount > 0", name="ck_transfer_amount"),
        sa.CheckConstraint("debit_account <> credit_account", name="ck_transfer_accounts"),
    )
    op.create_index("ix_transfer_holder", "transfer", ["district", "holder", "id"])
    migrate.placed("transfer", known=False)
    # What was booked is only ever added to.
    migrate.protect("transfer", scoped="SELECT, INSERT", worker="SELECT", person="SELECT", person_column="holder")
    op.create_table(
        "earning_rule",
        sa.Column("district", sa.Integer, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("unit", sa.BigInteger, nullable=False),
        sa.Column("unit_grid", sa.BigInteger, sa.Computed("unit - unit % 1000", persisted=True), nullable=False),
        sa.Column("code", sa.String, nullable=False),
        sa.Column("min_rating", sa.SmallInteger, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("district", "id", name="pk_earning_rule"),
        sa.UniqueConstraint("district", "unit", "code", name="uq_earning_rule_code"),
        sa.CheckConstraint("unit % 1000000000 = 0 AND unit % 1000000000000 <> 0", name="ck_earning_rule_street"),
        sa.CheckConstraint("min_rating BETWEEN 1 AND 5", name="ck_earning_rule_min_rating"),
        sa.CheckConstraint("points > 0", name="ck_earning_rule_points"),
    )
    migrate.placed("earning_rule")
    # What earns points is public in its district.
    migrate.protect("earning_rule", worker="SELECT", person="SELECT")
