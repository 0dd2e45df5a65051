-- The durable record, version 5: what stays of what is not kept any longer. It only adds: older programs serve on, and
-- nothing is removed before `signer migrate --contract` has shut them out, for they do not look for what stays.

-- An order that ended and is not kept any longer: enough to refuse its jti for ever, and nothing of what was ordered.
-- Without a reference to the device's row, which would have to be found for each that goes.
CREATE TABLE pruned_order (
    institution text COLLATE "C" NOT NULL,
    device      uuid NOT NULL,
    jti         uuid NOT NULL,
    content     bytea NOT NULL CHECK (octet_length(content) = 32), -- SHA-256 of all that the caller set
    state       text NOT NULL CHECK (state IN ('AUTHORIZED', 'DENIED', 'EXPIRED', 'FAILED')),
    reason      text,                                               -- why it ended without a signature
    ended_at    bigint NOT NULL,
    PRIMARY KEY (institution, device, jti),
    CHECK ((state = 'AUTHORIZED') = (reason IS NULL))
);

-- How many operations of a key are not kept any longer, and how many of these were signed: with those that stand, as
-- many as are counted with the key.
CREATE TABLE removed (
    key_id     bytea NOT NULL REFERENCES key (id),
    kind       text NOT NULL CHECK (kind IN ('authorization', 'crl')),
    operations bigint NOT NULL CHECK (operations >= signatures),
    signatures bigint NOT NULL CHECK (signatures >= 0),
    PRIMARY KEY (key_id, kind)
);

-- One row: up to where audit events are not kept any longer. `sha256` goes over all of them: it begins as 32 zero octets,
-- and is, with each leaf in its order, the SHA-256 of what it was and the leaf.
CREATE TABLE audit_prefix (
    one     integer PRIMARY KEY CHECK (one = 1),
    through bigint NOT NULL,                                        -- the last number
    leaves  bigint NOT NULL CHECK (leaves >= 0),
    sha256  bytea NOT NULL CHECK (octet_length(sha256) = 32),
    before  bigint NOT NULL                                         -- each was written before this moment
);
INSERT INTO audit_prefix VALUES (1, 0, 0, decode(repeat('00', 32), 'hex'), 0);

-- For what is due. On a large record both may be made before this migration, with CREATE INDEX CONCURRENTLY.
CREATE INDEX IF NOT EXISTS operation_ended_order ON operation (ended_at) WHERE kind = 'authorization' AND state <> 'PENDING';
CREATE INDEX IF NOT EXISTS device_named ON device (not_after) WHERE subscriber <> '00000000-0000-0000-0000-000000000000';

UPDATE schema_version SET version = 5;
