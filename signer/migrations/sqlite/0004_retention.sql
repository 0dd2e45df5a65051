-- The durable record, version 4: what stays of what is not kept any longer. It only adds. Stop the service before: a
-- program of version 3 does not look for what stays.

-- An order that ended and is not kept any longer: enough to refuse its jti for ever, and nothing of what was ordered.
-- Without a reference to the device's row, which would have to be found for each that goes.
CREATE TABLE pruned_order (
    institution TEXT NOT NULL,
    device      BLOB NOT NULL CHECK (length(device) = 16),
    jti         BLOB NOT NULL CHECK (length(jti) = 16),
    content     BLOB NOT NULL CHECK (length(content) = 32),         -- SHA-256 of all that the caller set
    state       TEXT NOT NULL CHECK (state IN ('AUTHORIZED', 'DENIED', 'EXPIRED', 'FAILED')),
    reason      TEXT,                                               -- why it ended without a signature
    ended_at    INTEGER NOT NULL,
    PRIMARY KEY (institution, device, jti),
    CHECK ((state = 'AUTHORIZED') = (reason IS NULL))
) STRICT, WITHOUT ROWID;

-- How many operations of a key are not kept any longer, and how many of these were signed: with those that stand, as
-- many as are counted with the key.
CREATE TABLE removed (
    key_id     BLOB NOT NULL REFERENCES key (id),
    kind       TEXT NOT NULL CHECK (kind IN ('authorization', 'crl')),
    operations INTEGER NOT NULL CHECK (operations >= signatures),
    signatures INTEGER NOT NULL CHECK (signatures >= 0),
    PRIMARY KEY (key_id, kind)
) STRICT;

-- One row: up to where audit events are not kept any longer. `sha256` goes over all of them: it begins as 32 zero octets,
-- and is, with each leaf in its order, the SHA-256 of what it was and the leaf.
CREATE TABLE audit_prefix (
    one     INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    through INTEGER NOT NULL,                                       -- the last number
    leaves  INTEGER NOT NULL CHECK (leaves >= 0),
    sha256  BLOB NOT NULL CHECK (length(sha256) = 32),
    before  INTEGER NOT NULL                                        -- each was written before this moment
) STRICT;
INSERT INTO audit_prefix VALUES (1, 0, 0, zeroblob(32), 0);

-- For what is due.
CREATE INDEX operation_ended_order ON operation (ended_at) WHERE kind = 'authorization' AND state <> 'PENDING';
CREATE INDEX device_named ON device (not_after) WHERE subscriber <> '00000000-0000-0000-0000-000000000000';
