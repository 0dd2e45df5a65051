-- The durable record, version 1.
-- Moments are microseconds since 1970-01-01T00:00:00Z. Ids and digests are octets, words are the domain's words.
-- No row is ever deleted but an acceptance; what a failed enrolment reserved is given back by setting it to NULL, which
-- a UNIQUE constraint admits any number of times.

-- A key in a token, as it was registered at start. Its institution and purpose never change.
CREATE TABLE key (
    id          BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 32),  -- RFC 7638 thumbprint
    institution TEXT NOT NULL,
    purpose     TEXT NOT NULL CHECK (purpose IN ('device-ca', 'signing-ca', 'authorization')),
    state       TEXT NOT NULL CHECK (state IN ('active', 'suspended'))
) STRICT;

-- Every version of the documents that rule an institution; the highest is effective.
CREATE TABLE document (
    institution TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('policy', 'trust', 'callers')),
    version     INTEGER NOT NULL CHECK (version >= 1),
    bytes       BLOB NOT NULL,                                      -- exactly as loaded
    loaded_at   INTEGER NOT NULL,
    PRIMARY KEY (institution, kind, version)
) STRICT;

-- One row: how many documents were ever loaded. A decision names the generation it was made in.
CREATE TABLE generation (
    one   INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    value INTEGER NOT NULL CHECK (value >= 0)
) STRICT;
INSERT INTO generation (one, value) VALUES (1, 0);

-- What a key was, or is, to sign: recorded before the key is used, ended once.
CREATE TABLE operation (
    id           INTEGER PRIMARY KEY NOT NULL,
    institution  TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('authorization', 'device-certificate', 'crl')),
    content      BLOB NOT NULL CHECK (length(content) = 32),        -- SHA-256 of all that the caller set
    state        TEXT NOT NULL CHECK (state IN ('PENDING', 'AUTHORIZED', 'DENIED', 'EXPIRED', 'FAILED')),
    key_id       BLOB NOT NULL REFERENCES key (id),
    to_be_signed BLOB NOT NULL,                                     -- these bytes and no others are signed
    expires_at   INTEGER NOT NULL,                                  -- no signature is stored then or later
    sign_by      INTEGER NOT NULL,                                  -- when resumed, signed only before
    object       TEXT NOT NULL,                                     -- jti, serial number or CRLNumber, for audit events
    device       BLOB CHECK (length(device) = 16),
    policy       BLOB CHECK (length(policy) = 32),                  -- SHA-256 of the policy that approved it
    actor        TEXT NOT NULL,                                     -- on whose behalf it was begun
    request      TEXT NOT NULL,                                     -- and for which request
    begun_at     INTEGER NOT NULL,
    ended_at     INTEGER,
    artifact     BLOB,                                              -- the signed object: compact JWS or DER
    reason       TEXT,                                              -- why it ended without a signature
    CHECK ((state = 'PENDING') = (ended_at IS NULL)),
    CHECK ((state = 'AUTHORIZED') = (artifact IS NOT NULL)),
    CHECK ((state IN ('DENIED', 'EXPIRED', 'FAILED')) = (reason IS NOT NULL))
) STRICT;
-- For the sweep.
CREATE INDEX operation_overdue ON operation (expires_at) WHERE state = 'PENDING';
-- For a CRL that is being made.
CREATE INDEX operation_pending_crl ON operation (key_id) WHERE state = 'PENDING' AND kind = 'crl';

-- A phone. Its certificate is its operation's artifact; until then it does not exist for anyone.
CREATE TABLE device (
    id                 BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    operation          INTEGER NOT NULL UNIQUE REFERENCES operation (id),
    issuer             TEXT NOT NULL,
    issuer_key         BLOB NOT NULL REFERENCES key (id),
    request            BLOB CHECK (length(request) = 32),           -- SHA-256 of the CertificationRequestInfo
    public_key         BLOB UNIQUE CHECK (length(public_key) = 32), -- SHA-256 of the SubjectPublicKeyInfo
    subscriber         TEXT NOT NULL,                               -- the issuer's pseudonym
    serial             BLOB NOT NULL,
    not_after          INTEGER NOT NULL,
    certificate_sha256 BLOB UNIQUE CHECK (length(certificate_sha256) = 32), -- NULL until the certificate is signed
    -- Both are NULL once the enrolment has ended without a certificate, so that it may be tried again.
    CHECK ((request IS NULL) = (public_key IS NULL)),
    CHECK (certificate_sha256 IS NULL OR request IS NOT NULL),
    UNIQUE (issuer, request),
    UNIQUE (issuer_key, serial)                                     -- RFC 5280 s4.1.2.2
) STRICT;
-- For the limit of devices per subscriber.
CREATE INDEX device_subscriber ON device (issuer, subscriber);

-- An order that was taken for co-signing, with what it reserves of the money limits.
CREATE TABLE cosigned_order (
    operation   INTEGER PRIMARY KEY NOT NULL REFERENCES operation (id),
    institution TEXT NOT NULL,
    device      BLOB NOT NULL REFERENCES device (id),
    jti         BLOB NOT NULL CHECK (length(jti) = 16),
    order_jws   TEXT NOT NULL,                                      -- the first that was recorded, exactly
    currency    TEXT NOT NULL CHECK (length(currency) = 3),
    minor       INTEGER NOT NULL CHECK (minor BETWEEN 1 AND 999999999999999999),
    reserved_at INTEGER,                                            -- NULL once the reservation was given back
    UNIQUE (institution, device, jti)
) STRICT;
-- For the day's sum.
CREATE INDEX cosigned_order_day ON cosigned_order (institution, device, reserved_at, currency, minor);

-- That an institution takes a device's orders for one of its accounts. Deleted on release; orders do not depend on it.
CREATE TABLE acceptance (
    institution TEXT NOT NULL,
    device      BLOB NOT NULL REFERENCES device (id),
    account     TEXT NOT NULL,                                      -- the institution's pseudonym
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (institution, device)
) STRICT;

-- A revoked certificate, numbered per issuing key so that a CRL can say up to which revocation it goes. Serial number
-- and notAfter are repeated here, where a CRL is made, so that entries long expired are never read again.
CREATE TABLE revocation (
    issuer_key BLOB NOT NULL REFERENCES key (id),
    sequence   INTEGER NOT NULL CHECK (sequence >= 1),
    device     BLOB NOT NULL UNIQUE REFERENCES device (id),
    serial     BLOB NOT NULL,
    not_after  INTEGER NOT NULL,
    reason     INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 10 AND reason <> 7), -- CRLReason, RFC 5280 s5.3.1
    revoked_at INTEGER NOT NULL,
    PRIMARY KEY (issuer_key, sequence),
    UNIQUE (issuer_key, serial)
) STRICT;
CREATE INDEX revocation_due ON revocation (issuer_key, not_after);

-- A CRL, signed or to be signed; its DER is its operation's artifact.
CREATE TABLE crl (
    issuer_key  BLOB NOT NULL REFERENCES key (id),
    number      INTEGER NOT NULL CHECK (number >= 1),               -- CRLNumber, RFC 5280 s5.2.3
    operation   INTEGER NOT NULL UNIQUE REFERENCES operation (id),
    revocations INTEGER NOT NULL CHECK (revocations >= 0),          -- the last sequence number in it
    next_update INTEGER NOT NULL,
    PRIMARY KEY (issuer_key, number)
) STRICT;

-- Audit events in the order in which they were written: each the exact bytes of a future Merkle leaf.
CREATE TABLE audit (
    seq  INTEGER PRIMARY KEY NOT NULL,
    leaf BLOB NOT NULL
) STRICT;
