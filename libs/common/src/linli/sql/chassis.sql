-- What every service has: outbox, event log, inbox, dead letters, idempotency keys.
-- Statements are separated by an empty line. Released: never changed, only followed by another file.

GRANT USAGE ON SCHEMA public TO linli_scoped, linli_worker, linli_person, linli_relay;

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL,
    district integer NOT NULL,
    aggregate text NOT NULL,
    shard smallint NOT NULL,
    subject text NOT NULL,
    payload bytea NOT NULL,
    headers jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;

ALTER TABLE outbox FORCE ROW LEVEL SECURITY;

CREATE POLICY outbox_scoped ON outbox FOR INSERT TO linli_scoped
    WITH CHECK (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer);

CREATE POLICY outbox_worker ON outbox FOR INSERT TO linli_worker
    WITH CHECK (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer);

CREATE POLICY outbox_person ON outbox FOR INSERT TO linli_person
    WITH CHECK (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer);

CREATE POLICY outbox_relay ON outbox TO linli_relay USING (true);

GRANT INSERT ON outbox TO linli_scoped, linli_worker, linli_person;

GRANT SELECT, DELETE ON outbox TO linli_relay;

CREATE TABLE event_log (
    id bigint NOT NULL,
    event_id uuid NOT NULL,
    district integer NOT NULL,
    aggregate text NOT NULL,
    subject text NOT NULL,
    payload bytea NOT NULL,
    headers jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (published_at);

CREATE INDEX ix_event_log_aggregate ON event_log (district, aggregate, id);

ALTER TABLE event_log ENABLE ROW LEVEL SECURITY;

ALTER TABLE event_log FORCE ROW LEVEL SECURITY;

CREATE POLICY event_log_relay ON event_log TO linli_relay USING (true);

GRANT SELECT, INSERT ON event_log TO linli_relay;

CREATE FUNCTION event_log_roll(keep_days integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day date;
    old text;
BEGIN
    PERFORM pg_advisory_xact_lock(7105634);
    FOR ahead IN 0..3 LOOP
        day := today + ahead;
        IF to_regclass('public.event_log_' || to_char(day, 'YYYYMMDD')) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE public.%I PARTITION OF public.event_log FOR VALUES FROM (%L) TO (%L)',
                'event_log_' || to_char(day, 'YYYYMMDD'),
                day::timestamp AT TIME ZONE 'UTC',
                (day + 1)::timestamp AT TIME ZONE 'UTC');
            EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', 'event_log_' || to_char(day, 'YYYYMMDD'));
            EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', 'event_log_' || to_char(day, 'YYYYMMDD'));
        END IF;
    END LOOP;
    FOR old IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent = 'public.event_log'::regclass
          AND child.relname < 'event_log_' || to_char(today - keep_days, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE public.%I', old);
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION event_log_roll(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION event_log_roll(integer) TO linli_relay;

SELECT event_log_roll(30);

CREATE TABLE inbox (
    district integer NOT NULL,
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (district, consumer, event_id)
);

CREATE INDEX ix_inbox_received_at ON inbox (received_at);

ALTER TABLE inbox ENABLE ROW LEVEL SECURITY;

ALTER TABLE inbox FORCE ROW LEVEL SECURITY;

CREATE POLICY inbox_scoped ON inbox TO linli_scoped USING (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer)
    WITH CHECK (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer);

CREATE POLICY inbox_relay ON inbox TO linli_relay USING (received_at < now() - interval '45 days');

GRANT SELECT, INSERT ON inbox TO linli_scoped;

GRANT SELECT, DELETE ON inbox TO linli_relay;

CREATE TABLE dead_letter (
    district integer NOT NULL,
    id uuid NOT NULL,
    consumer text NOT NULL,
    event_id uuid,
    subject text NOT NULL,
    headers jsonb NOT NULL,
    payload bytea NOT NULL,
    error text NOT NULL,
    deliveries integer NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz,
    discarded_at timestamptz,
    PRIMARY KEY (district, id)
);

ALTER TABLE dead_letter ENABLE ROW LEVEL SECURITY;

ALTER TABLE dead_letter FORCE ROW LEVEL SECURITY;

CREATE POLICY dead_letter_scoped ON dead_letter TO linli_scoped USING (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer)
    WITH CHECK (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer);

GRANT SELECT, INSERT ON dead_letter TO linli_scoped;

GRANT UPDATE (replayed_at, discarded_at) ON dead_letter TO linli_scoped;

CREATE TABLE idempotency_key (
    district integer NOT NULL,
    person uuid NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    headers text[] NOT NULL,
    body bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (district, person, key)
);

CREATE INDEX ix_idempotency_key_expires_at ON idempotency_key (expires_at);

ALTER TABLE idempotency_key ENABLE ROW LEVEL SECURITY;

ALTER TABLE idempotency_key FORCE ROW LEVEL SECURITY;

CREATE POLICY idempotency_key_scoped ON idempotency_key TO linli_scoped
    USING (person = current_setting('app.person')::uuid) WITH CHECK (person = current_setting('app.person')::uuid);

CREATE POLICY idempotency_key_worker ON idempotency_key TO linli_worker
    USING (person = current_setting('app.person')::uuid) WITH CHECK (person = current_setting('app.person')::uuid);

CREATE POLICY idempotency_key_person ON idempotency_key TO linli_person
    USING (person = current_setting('app.person')::uuid) WITH CHECK (person = current_setting('app.person')::uuid);

CREATE POLICY idempotency_key_relay ON idempotency_key TO linli_relay USING (expires_at < now());

GRANT SELECT, INSERT, UPDATE ON idempotency_key TO linli_scoped, linli_worker, linli_person;

GRANT SELECT, DELETE ON idempotency_key TO linli_relay;
