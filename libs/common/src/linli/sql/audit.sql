-- The audit log and its heads. Whoever may see a unit may add rows about it; nobody changes or removes one.
-- Statements are separated by an empty line. Released: never changed, only followed by another file.

CREATE TABLE audit (
    district integer NOT NULL,
    sequence bigint NOT NULL,
    unit bigint NOT NULL,
    unit_grid bigint NOT NULL GENERATED ALWAYS AS (unit - unit % 1000) STORED,
    at timestamptz NOT NULL,
    actor uuid NOT NULL,
    client text NOT NULL,
    action text NOT NULL,
    purpose text,
    subjects uuid[] NOT NULL,
    fields text[] NOT NULL,
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (district, sequence),
    CONSTRAINT ck_audit_district CHECK (district = unit / 1000000000000)
);

CREATE INDEX ix_audit_actor ON audit (district, actor, at);

CREATE TABLE audit_head (
    district integer NOT NULL,
    sequence bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT pk_audit_head PRIMARY KEY (district)
);

-- A row's place in the chain is not the writer's to choose. One row a statement: the next one needs its head.
CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_head;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('linli.audit'), NEW.district);
    SELECT * INTO head FROM audit_head WHERE district = NEW.district;
    NEW.sequence = coalesce(head.sequence, 0) + 1;
    NEW.previous = coalesce(head.hash, decode(repeat('00', 32), 'hex'));
    NEW.at = clock_timestamp();
    NEW.hash = sha256(NEW.previous || convert_to(jsonb_build_array(
        NEW.district, NEW.sequence, NEW.unit, (extract(epoch FROM NEW.at) * 1000000)::bigint, NEW.actor,
        NEW.client, NEW.action, NEW.purpose, NEW.subjects, NEW.fields)::text, 'UTF8'));
    RETURN NEW;
END $$;

CREATE FUNCTION audit_advance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence = 1 THEN
        INSERT INTO audit_head VALUES (NEW.district, NEW.sequence, NEW.hash);
    ELSE
        UPDATE audit_head SET sequence = NEW.sequence, hash = NEW.hash WHERE district = NEW.district;
    END IF;
    RETURN NULL;
END $$;

-- The head moves on by one row that is there, and not otherwise, whoever writes it.
CREATE FUNCTION audit_head_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (CASE TG_OP WHEN 'UPDATE' THEN OLD.sequence ELSE 0 END) + 1 OR NOT EXISTS (
        SELECT FROM audit WHERE district = NEW.district AND sequence = NEW.sequence AND hash = NEW.hash) THEN
        RAISE EXCEPTION 'the head of an audit log follows its rows' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit rows are never changed or removed' USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER audit_chain BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_chain();

CREATE TRIGGER audit_advance AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_advance();

CREATE TRIGGER audit_head_follows BEFORE INSERT OR UPDATE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION audit_head_follows();

CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION audit_stays();

CREATE TRIGGER audit_stays BEFORE DELETE OR TRUNCATE ON audit_head EXECUTE FUNCTION audit_stays();

ALTER TABLE audit ENABLE ROW LEVEL SECURITY;

ALTER TABLE audit FORCE ROW LEVEL SECURITY;

ALTER TABLE audit_head ENABLE ROW LEVEL SECURITY;

ALTER TABLE audit_head FORCE ROW LEVEL SECURITY;

CREATE POLICY audit_scoped ON audit TO linli_scoped
    USING (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint)
    WITH CHECK (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint);

CREATE POLICY audit_worker ON audit TO linli_worker
    USING (unit_grid = ANY (current_setting('app.grids')::bigint[]))
    WITH CHECK (unit_grid = ANY (current_setting('app.grids')::bigint[]));

CREATE POLICY audit_head_scoped ON audit_head TO linli_scoped
    USING (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer)
    WITH CHECK (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer);

CREATE POLICY audit_head_worker ON audit_head TO linli_worker
    USING (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer)
    WITH CHECK (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer);

GRANT SELECT, INSERT ON audit TO linli_scoped, linli_worker;

GRANT SELECT, INSERT, UPDATE ON audit_head TO linli_scoped, linli_worker;
