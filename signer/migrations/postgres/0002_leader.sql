-- The durable record, version 2: which replica does the scheduled work. It only adds: programs of version 1 serve on, and
-- do that work unasked, as they did.

-- One row: who leads, until when by this server's clock, and how often that has changed. A CRL is begun in the term of
-- its leader or not at all.
CREATE TABLE lease (
    one        integer PRIMARY KEY CHECK (one = 1),
    holder     uuid,
    term       bigint NOT NULL CHECK (term >= 0),
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO lease VALUES (1, NULL, 0, '-infinity');

UPDATE schema_version SET version = 2;
