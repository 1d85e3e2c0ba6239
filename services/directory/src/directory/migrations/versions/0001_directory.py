"""The directory's tables."""

from alembic import op

from linli import migrate

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE unit (
    district integer NOT NULL,
    unit bigint NOT NULL,
    -- What a unit hangs under follows from its code, so no statement can hang it elsewhere.
    parent bigint GENERATED ALWAYS AS (CASE
        WHEN unit % 1000 <> 0 THEN unit - unit % 1000
        WHEN unit % 1000000 <> 0 THEN unit - unit % 1000000
        WHEN unit % 1000000000 <> 0 THEN unit - unit % 1000000000
        WHEN unit % 1000000000000 <> 0 THEN unit - unit % 1000000000000
    END) STORED,
    kind text NOT NULL GENERATED ALWAYS AS (CASE
        WHEN unit % 1000 <> 0 THEN 'micro_grid'
        WHEN unit / 1000 % 1000 >= 900 THEN 'special_grid'
        WHEN unit / 1000 % 1000 <> 0 THEN 'grid'
        WHEN unit / 1000000 % 1000 >= 900 THEN 'block'
        WHEN unit / 1000000 % 1000 <> 0 THEN 'community'
        WHEN unit % 1000000000000 <> 0 THEN 'street'
        WHEN unit <> 0 THEN 'district'
        ELSE 'platform'
    END) STORED,
    name text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT pk_unit PRIMARY KEY (district, unit),
    CONSTRAINT fk_unit_parent FOREIGN KEY (district, parent) REFERENCES unit (district, unit)
);
CREATE INDEX ix_unit_parent ON unit (district, parent, unit);
CREATE INDEX ix_unit_kind ON unit (district, kind, unit);
INSERT INTO unit (district, unit, name) VALUES (0, 0, '邻里 Linli');

CREATE TABLE residents_group (
    district integer NOT NULL,
    id uuid NOT NULL,
    unit bigint NOT NULL,
    unit_grid bigint GENERATED ALWAYS AS (unit - unit % 1000) STORED,
    name text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT pk_residents_group PRIMARY KEY (district, id),
    CONSTRAINT uq_residents_group_unit UNIQUE (district, id, unit),
    CONSTRAINT uq_residents_group_name UNIQUE (district, unit, name),
    CONSTRAINT ck_residents_group_grid CHECK (unit % 1000 = 0 AND unit / 1000 % 1000 <> 0),
    CONSTRAINT fk_residents_group_unit FOREIGN KEY (district, unit) REFERENCES unit (district, unit)
);

CREATE TABLE building (
    district integer NOT NULL,
    id uuid NOT NULL,
    unit bigint NOT NULL,
    unit_grid bigint GENERATED ALWAYS AS (unit - unit % 1000) STORED,
    group_id uuid,
    name text NOT NULL,
    staircases smallint NOT NULL,
    active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT pk_building PRIMARY KEY (district, id),
    CONSTRAINT uq_building_unit UNIQUE (district, id, unit),
    CONSTRAINT ck_building_micro_grid CHECK (unit % 1000 <> 0),
    CONSTRAINT ck_building_staircases CHECK (staircases BETWEEN 0 AND 100),
    CONSTRAINT fk_building_unit FOREIGN KEY (district, unit) REFERENCES unit (district, unit),
    -- A grid never splits a residents' group: a building lies in the grid of its group.
    CONSTRAINT fk_building_group FOREIGN KEY (district, group_id, unit_grid)
        REFERENCES residents_group (district, id, unit)
);
CREATE UNIQUE INDEX uq_building_name ON building (district, (unit / 1000000), name);
CREATE INDEX ix_building_unit ON building (district, unit, id);
CREATE INDEX ix_building_group ON building (district, group_id);

CREATE TABLE staff (
    district integer NOT NULL,
    id uuid NOT NULL,
    unit bigint NOT NULL,
    unit_grid bigint GENERATED ALWAYS AS (unit - unit % 1000) STORED,
    name text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT pk_staff PRIMARY KEY (district, id),
    CONSTRAINT fk_staff_unit FOREIGN KEY (district, unit) REFERENCES unit (district, unit)
);
CREATE INDEX ix_staff_unit ON staff (district, unit, id);

CREATE TABLE staircase (
    district integer NOT NULL,
    id uuid NOT NULL,
    unit bigint NOT NULL,
    unit_grid bigint GENERATED ALWAYS AS (unit - unit % 1000) STORED,
    building_id uuid NOT NULL,
    number smallint NOT NULL,
    head uuid,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT pk_staircase PRIMARY KEY (district, id),
    CONSTRAINT uq_staircase_number UNIQUE (district, building_id, number),
    -- A micro-grid never splits a building: its staircases lie where it lies, and move when it moves.
    CONSTRAINT fk_staircase_building FOREIGN KEY (district, building_id, unit)
        REFERENCES building (district, id, unit) ON UPDATE CASCADE,
    CONSTRAINT fk_staircase_head FOREIGN KEY (district, head) REFERENCES staff (district, id)
);
CREATE INDEX ix_staircase_unit ON staircase (district, unit, id);
CREATE INDEX ix_staircase_head ON staircase (district, head);

CREATE TABLE identity (
    district integer NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    unit bigint NOT NULL,
    person uuid NOT NULL,
    CONSTRAINT pk_identity PRIMARY KEY (district, issuer, subject),
    CONSTRAINT fk_identity_unit FOREIGN KEY (district, unit) REFERENCES unit (district, unit)
);

CREATE TABLE assignment (
    district integer NOT NULL,
    id uuid NOT NULL,
    unit bigint NOT NULL,
    unit_grid bigint GENERATED ALWAYS AS (unit - unit % 1000) STORED,
    staff uuid NOT NULL,
    role text NOT NULL,
    ended_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT pk_assignment PRIMARY KEY (district, id),
    CONSTRAINT fk_assignment_staff FOREIGN KEY (district, staff) REFERENCES staff (district, id),
    CONSTRAINT fk_assignment_unit FOREIGN KEY (district, unit) REFERENCES unit (district, unit)
);
CREATE UNIQUE INDEX uq_assignment_active ON assignment (district, staff, unit, role) WHERE ended_at IS NULL;
CREATE INDEX ix_assignment_unit ON assignment (district, unit, role) WHERE ended_at IS NULL;

CREATE TABLE app_client (
    district integer NOT NULL,
    id uuid NOT NULL,
    unit bigint NOT NULL,
    unit_grid bigint GENERATED ALWAYS AS (unit - unit % 1000) STORED,
    name text NOT NULL,
    secret_sha256 bytea NOT NULL,
    roles text[] NOT NULL,
    active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT pk_app_client PRIMARY KEY (district, id),
    CONSTRAINT ck_app_client_roles CHECK (cardinality(roles) > 0),
    CONSTRAINT fk_app_client_unit FOREIGN KEY (district, unit) REFERENCES unit (district, unit)
);
CREATE INDEX ix_app_client_id ON app_client (id);
CREATE INDEX ix_app_client_unit ON app_client (district, unit, id);

CREATE TABLE provider (
    district integer NOT NULL,
    unit bigint NOT NULL,
    issuer text NOT NULL,
    audience text NOT NULL,
    jwks jsonb,
    jwks_uri text,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT pk_provider PRIMARY KEY (district),
    CONSTRAINT ck_provider_keys CHECK ((jwks IS NULL) <> (jwks_uri IS NULL)),
    CONSTRAINT fk_provider_unit FOREIGN KEY (district, unit) REFERENCES unit (district, unit)
);
CREATE INDEX ix_provider_issuer ON provider (issuer);

CREATE TABLE signing_key (
    district integer NOT NULL,
    number integer NOT NULL,
    unit bigint NOT NULL,
    kid text NOT NULL,
    public jsonb NOT NULL,
    private bytea NOT NULL,
    active_from timestamptz NOT NULL,
    CONSTRAINT pk_signing_key PRIMARY KEY (district, number)
);

-- Tokens of providers that were exchanged once, by a hash of their jti, until they expire by themselves.
CREATE TABLE spent_token (
    district integer NOT NULL,
    issuer text NOT NULL,
    jti_sha256 bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_spent_token PRIMARY KEY (district, issuer, jti_sha256)
);
CREATE INDEX ix_spent_token_expires_at ON spent_token (expires_at);
"""

_PLACED = (
    "unit", "residents_group", "building", "staircase", "staff", "identity", "assignment", "app_client",
    "provider", "signing_key",
)  # fmt: skip

# What is read before anybody is known, and no more: neither names nor places.
_ISSUER = {
    "app_client": "SELECT (district, id, unit, secret_sha256, roles, active)",
    "provider": "SELECT (district, unit, issuer, audience, jwks, jwks_uri)",
    "identity": "SELECT, INSERT",
    "assignment": "SELECT (district, unit, staff, role, ended_at)",
    "signing_key": "SELECT, INSERT",
    "spent_token": "SELECT, INSERT, DELETE",
}


def upgrade() -> None:
    migrate.chassis(known_units=False)
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    for table in _PLACED:
        migrate.placed(table, known=False)
    # The code of a unit never changes, so it may not be updated.
    migrate.protect("unit", scoped="SELECT, INSERT, UPDATE (name, active, version)", worker="SELECT", person="SELECT")
    migrate.protect("residents_group", worker="SELECT", person="SELECT")
    migrate.protect("building", worker="SELECT", person="SELECT")
    migrate.protect("staircase", scoped="SELECT, INSERT, UPDATE, DELETE", worker="SELECT")
    migrate.protect("staff")
    migrate.protect("assignment")
    migrate.protect("app_client")
    migrate.protect("provider")
    # Who somebody is holds for the whole district: a street may engage a resident who has signed in before.
    migrate.protect("identity", by="district", scoped="SELECT, INSERT")
    migrate.protect("signing_key", scoped="SELECT, INSERT, DELETE")
    migrate.protect("spent_token", by="district", scoped=None)
    op.execute("GRANT USAGE ON SCHEMA public TO linli_issuer")
    for table, privileges in _ISSUER.items():
        migrate.policy(table, "issuer", "true")
        op.execute(f"GRANT {privileges} ON {table} TO linli_issuer")
