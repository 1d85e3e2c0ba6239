-- A service's copy of the directory's units.

CREATE TABLE known_unit (
    district integer NOT NULL,
    unit bigint NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    active boolean NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (district, unit),
    CONSTRAINT ck_known_unit_district CHECK (district = unit / 1000000000000)
);

ALTER TABLE known_unit ENABLE ROW LEVEL SECURITY;

ALTER TABLE known_unit FORCE ROW LEVEL SECURITY;

CREATE POLICY known_unit_scoped ON known_unit TO linli_scoped
    USING (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint) WITH CHECK (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint);

CREATE POLICY known_unit_worker ON known_unit FOR SELECT TO linli_worker USING (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint);

CREATE POLICY known_unit_person ON known_unit FOR SELECT TO linli_person USING (unit BETWEEN current_setting('app.lo')::bigint AND current_setting('app.hi')::bigint);

GRANT SELECT, INSERT, UPDATE ON known_unit TO linli_scoped;

GRANT SELECT ON known_unit TO linli_worker, linli_person;
