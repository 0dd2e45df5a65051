-- The durable record, version 6: what becomes of keys, what one has signed, and what it has certified and another certifies
-- anew. It only adds.

-- When the destruction of a key in its token was begun, and when it was done.
ALTER TABLE key ADD COLUMN destruction_begun_at INTEGER;
ALTER TABLE key ADD COLUMN destroyed_at INTEGER CHECK (destroyed_at IS NULL OR destruction_begun_at IS NOT NULL);

-- For what a key has signed since a time.
CREATE INDEX operation_signed ON operation (key_id, ended_at, id) WHERE state = 'AUTHORIZED';

-- A certificate of a device in the place of another CA's, for the same key. The device's row has the certificate in force;
-- the one that was replaced stays with its operation.
CREATE TABLE reissue (
    operation       INTEGER PRIMARY KEY NOT NULL REFERENCES operation (id),
    device          BLOB NOT NULL REFERENCES device (id),
    replaces        INTEGER UNIQUE REFERENCES operation (id),       -- NULL once it ended without a certificate
    serial          BLOB NOT NULL,
    not_after       INTEGER NOT NULL,
    replaced_sha256 BLOB UNIQUE CHECK (length(replaced_sha256) = 32), -- NULL until it is replaced
    replaced_at     INTEGER,
    CHECK ((replaced_sha256 IS NULL) = (replaced_at IS NULL)),
    CHECK (replaced_at IS NULL OR replaces IS NOT NULL)
) STRICT;

-- The one that was replaced is revoked, and the device is not. No row has another form for it, so that the table need not be
-- written anew (https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes").
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'device     BLOB NOT NULL UNIQUE', 'device     BLOB UNIQUE')
    WHERE type = 'table' AND name = 'revocation';
PRAGMA writable_schema = RESET;
