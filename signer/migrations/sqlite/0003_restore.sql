-- The durable record, version 3: what is to be known once it was put back from a backup. It only adds. Stop the service
-- before: a program of version 2 would not keep to the hold.

-- One row: no order is co-signed before this moment, for what was authorized after the backup may still be valid.
CREATE TABLE hold (
    one   INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    until INTEGER NOT NULL
) STRICT;
INSERT INTO hold (one, until) VALUES (1, 0);

-- A serial number that a published CRL lists and nothing else in the record knows: its certificate was issued after the
-- backup. Every later CRL lists it too, until no certificate of that time can be valid (RFC 5280 s3.3).
CREATE TABLE listed (
    issuer_key BLOB NOT NULL REFERENCES key (id),
    serial     BLOB NOT NULL,
    not_after  INTEGER NOT NULL,                                    -- the latest that it can be
    reason     INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 10 AND reason <> 7), -- CRLReason, RFC 5280 s5.3.1
    revoked_at INTEGER NOT NULL,
    PRIMARY KEY (issuer_key, serial)
) STRICT;
