-- What services tell of themselves. Statements are separated by an empty line. Released: never changed.
--
-- COPY does not work under row-level security, so spans and logs are copied into the tables of their days, which have
-- none: their writer may only insert there, and nobody else may do anything. Readers read the partitioned table, which
-- is protected as every table is.

GRANT USAGE ON SCHEMA public TO linli_scoped, linli_relay;

CREATE TABLE span (
    trace_id bytea NOT NULL,
    span_id bytea NOT NULL,
    parent_id bytea,
    service text NOT NULL,
    instance text NOT NULL,
    name text NOT NULL,
    kind smallint NOT NULL,
    started_at timestamptz NOT NULL,
    duration double precision NOT NULL,
    error boolean NOT NULL,
    status_message text NOT NULL,
    district integer NOT NULL,
    subject uuid,
    attributes jsonb NOT NULL,
    events jsonb NOT NULL
) PARTITION BY RANGE (started_at);

CREATE INDEX ix_span_trace ON span (trace_id);

CREATE INDEX ix_span_subject ON span (subject) WHERE subject IS NOT NULL;

CREATE TABLE log (
    trace_id bytea NOT NULL,
    span_id bytea,
    at timestamptz NOT NULL,
    service text NOT NULL,
    level text NOT NULL,
    logger text NOT NULL,
    message text NOT NULL,
    district integer NOT NULL,
    attributes jsonb NOT NULL
) PARTITION BY RANGE (at);

CREATE INDEX ix_log_trace ON log (trace_id);

-- A row for each district that has a part in the trace, made of its own spans; in district 0 one of all spans.
CREATE TABLE trace (
    district integer NOT NULL,
    trace_id bytea NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    duration double precision NOT NULL
        GENERATED ALWAYS AS (extract(epoch FROM ended_at - started_at)::double precision * 1000) STORED,
    began_at timestamptz,
    service text NOT NULL,
    operation text NOT NULL,
    spans integer NOT NULL,
    errors integer NOT NULL,
    redeliveries integer NOT NULL,
    services text[] NOT NULL,
    operations text[] NOT NULL,
    home integer NOT NULL,
    place bigint,
    subject uuid,
    CONSTRAINT pk_trace PRIMARY KEY (district, trace_id)
) WITH (fillfactor = 80);

CREATE INDEX ix_trace_started_at ON trace (district, started_at, trace_id);

CREATE INDEX ix_trace_errors ON trace (district, started_at, trace_id) WHERE errors > 0;

-- Counts by minute; `bucket` is the class of duration, each a tenth longer than the one before.
CREATE TABLE activity (
    district integer NOT NULL,
    at timestamptz NOT NULL,
    service text NOT NULL,
    operation text NOT NULL,
    kind smallint NOT NULL,
    bucket smallint NOT NULL,
    count bigint NOT NULL,
    errors bigint NOT NULL,
    CONSTRAINT pk_activity PRIMARY KEY (district, at, service, operation, kind, bucket)
) WITH (fillfactor = 80);

CREATE FUNCTION telemetry_roll(keep_days integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day date;
    parent text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(7105637);
    FOREACH parent IN ARRAY ARRAY['span', 'log'] LOOP
        FOR ahead IN -1..3 LOOP
            day := today + ahead;
            part := parent || '_' || to_char(day, 'YYYYMMDD');
            CONTINUE WHEN to_regclass('public.' || part) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                part, parent, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
            EXECUTE format('GRANT INSERT ON public.%I TO linli_relay', part);
        END LOOP;
        FOR part IN
            SELECT child.relname FROM pg_inherits
            JOIN pg_class child ON child.oid = inhrelid
            WHERE inhparent = ('public.' || parent)::regclass
              AND child.relname < parent || '_' || to_char(today - keep_days, 'YYYYMMDD')
        LOOP
            EXECUTE format('DROP TABLE public.%I', part);
        END LOOP;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION telemetry_roll(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION telemetry_roll(integer) TO linli_relay;

SELECT telemetry_roll(7)
