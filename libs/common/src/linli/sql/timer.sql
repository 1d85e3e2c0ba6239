-- Timers: what falls due. A row lives as long as its clock runs, and after that while it is overdue.
-- Statements are separated by an empty line. Released: never changed, only followed by another file.

CREATE TABLE timer (
    district integer NOT NULL,
    kind text NOT NULL,
    aggregate uuid NOT NULL,
    unit bigint NOT NULL,
    due_at timestamptz NOT NULL,
    try_at timestamptz,
    fired_at timestamptz,
    attempts smallint NOT NULL DEFAULT 0,
    error text,
    CONSTRAINT pk_timer PRIMARY KEY (district, kind, aggregate),
    CONSTRAINT ck_timer_district CHECK (district = unit / 1000000000000),
    CONSTRAINT ck_timer_tried CHECK (try_at IS NULL OR fired_at IS NULL AND try_at >= due_at)
);

COMMENT ON COLUMN timer.try_at IS 'when its handler is called next; null when it has fired or failed too often';

CREATE INDEX ix_timer_try_at ON timer (try_at) WHERE try_at IS NOT NULL;

CREATE INDEX ix_timer_overdue ON timer (unit, aggregate) WHERE fired_at IS NOT NULL;

ALTER TABLE timer ENABLE ROW LEVEL SECURITY;

ALTER TABLE timer FORCE ROW LEVEL SECURITY;

CREATE POLICY timer_scoped ON timer TO linli_scoped
    USING (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint) WITH CHECK (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint);

CREATE POLICY timer_worker ON timer TO linli_worker
    USING (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint) WITH CHECK (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint);

CREATE POLICY timer_person ON timer TO linli_person
    USING (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint) WITH CHECK (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint);

CREATE POLICY timer_relay ON timer FOR SELECT TO linli_relay USING (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON timer TO linli_scoped, linli_worker, linli_person;

GRANT SELECT (district, kind, aggregate, unit, due_at, try_at, fired_at, attempts) ON timer TO linli_relay;
