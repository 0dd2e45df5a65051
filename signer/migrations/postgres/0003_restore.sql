-- The durable record, version 3: what is to be known once it was put back from a backup, as the embedded store's version 3
-- has it. It only adds: older programs serve on, until the record is restored, for they would not keep to the hold.

-- One row: no order is co-signed before this moment, for what was authorized after the backup may still be valid.
CREATE TABLE hold (
    one   integer PRIMARY KEY CHECK (one = 1),
    until bigint NOT NULL
);
INSERT INTO hold VALUES (1, 0);

-- A serial number that a published CRL lists and nothing else in the record knows: its certificate was issued after the
-- backup. Every later CRL lists it too, until no certificate of that time can be valid (RFC 5280 s3.3).
CREATE TABLE listed (
    issuer_key bytea NOT NULL REFERENCES key (id),
    serial     bytea NOT NULL,
    not_after  bigint NOT NULL,                                     -- the latest that it can be
    reason     bigint NOT NULL CHECK (reason BETWEEN 0 AND 10 AND reason <> 7), -- CRLReason, RFC 5280 s5.3.1
    revoked_at bigint NOT NULL,
    PRIMARY KEY (issuer_key, serial)
);

UPDATE schema_version SET version = 3;
