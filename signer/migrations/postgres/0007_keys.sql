-- The durable record, version 7: what becomes of keys, what one has signed, and what it has certified and another certifies
-- anew, as the embedded store's version 6 has it. It only adds: older programs serve on.

-- When the destruction of a key in its token was begun, and when it was done.
ALTER TABLE key ADD COLUMN destruction_begun_at bigint, ADD COLUMN destroyed_at bigint,
    ADD CONSTRAINT key_destruction CHECK (destroyed_at IS NULL OR destruction_begun_at IS NOT NULL);

-- For what a key has signed since a time. On a large record it may be made before this migration, with CREATE INDEX
-- CONCURRENTLY.
CREATE INDEX IF NOT EXISTS operation_signed ON operation (key_id, ended_at, id) WHERE state = 'AUTHORIZED';

-- A certificate of a device in the place of another CA's, for the same key. The device's row has the certificate in force;
-- the one that was replaced stays with its operation.
CREATE TABLE reissue (
    operation       bigint PRIMARY KEY REFERENCES operation (id),
    device          uuid NOT NULL REFERENCES device (id),
    replaces        bigint UNIQUE REFERENCES operation (id),        -- NULL once it ended without a certificate
    serial          bytea NOT NULL,
    not_after       bigint NOT NULL,
    replaced_sha256 bytea UNIQUE CHECK (octet_length(replaced_sha256) = 32), -- NULL until it is replaced
    replaced_at     bigint,
    CHECK ((replaced_sha256 IS NULL) = (replaced_at IS NULL)),
    CHECK (replaced_at IS NULL OR replaces IS NOT NULL)
);

-- The one that was replaced is revoked, and the device is not.
ALTER TABLE revocation ALTER COLUMN device DROP NOT NULL;

UPDATE schema_version SET version = 7;
