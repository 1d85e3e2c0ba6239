-- Districts' data keys, wrapped by the master key, without which they are of no use: so whoever sees any part of
-- a district may read them. Key 0 is the root of the blind indexes.
-- Statements are separated by an empty line. Released: never changed, only followed by another file.

CREATE TABLE data_key (
    district integer NOT NULL,
    id integer NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    CONSTRAINT pk_data_key PRIMARY KEY (district, id),
    CONSTRAINT ck_data_key_id CHECK (id >= 0)
);

ALTER TABLE data_key ENABLE ROW LEVEL SECURITY;

ALTER TABLE data_key FORCE ROW LEVEL SECURITY;

CREATE POLICY data_key_scoped ON data_key TO linli_scoped
    USING (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer)
    WITH CHECK (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer);

CREATE POLICY data_key_worker ON data_key TO linli_worker
    USING (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer)
    WITH CHECK (district BETWEEN (current_setting('app.lo')::bigint / 1000000000000)::integer
        AND (current_setting('app.hi')::bigint / 1000000000000)::integer);

GRANT SELECT, INSERT, UPDATE (wrapped, retired_at) ON data_key TO linli_scoped;

GRANT SELECT, INSERT ON data_key TO linli_worker;
