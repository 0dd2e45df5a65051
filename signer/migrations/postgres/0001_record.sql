-- The durable record, version 1, for replicas that share it. Table by table it says what the embedded store's versions 1
-- and 2 say; what differs, differs for those who write beside each other.
-- Moments are microseconds since 1970-01-01T00:00:00Z. Digests are octets, words are the domain's words. Text is compared
-- by its octets (COLLATE "C"), so that no index depends on the C library of the host.
-- No row is ever deleted but an acceptance; what a failed enrolment reserved is given back by setting it to NULL, which
-- a UNIQUE constraint admits any number of times.

-- One row: the version of this schema, and the lowest that a program may have been built for to serve it. A migration
-- that only adds leaves `serves_from` where it is, so that replicas of both versions serve together.
CREATE TABLE schema_version (
    one         integer PRIMARY KEY CHECK (one = 1),
    version     integer NOT NULL,
    serves_from integer NOT NULL CHECK (serves_from BETWEEN 1 AND version)
);
INSERT INTO schema_version VALUES (1, 1, 1);

-- One row that a look at the store's health changes, so that what refuses to write shows.
CREATE TABLE pulse (
    one  integer PRIMARY KEY CHECK (one = 1),
    beat bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO pulse VALUES (1, 0);

-- A key in a token, as it was registered at start. Its institution and purpose never change.
CREATE TABLE key (
    id            bytea PRIMARY KEY CHECK (octet_length(id) = 32),  -- RFC 7638 thumbprint
    institution   text COLLATE "C" NOT NULL,
    purpose       text NOT NULL CHECK (purpose IN ('device-ca', 'signing-ca', 'authorization')),
    state         text NOT NULL CHECK (state IN ('active', 'suspended')),
    registered_at bigint NOT NULL
);
CREATE INDEX key_institution ON key (institution);

-- How many signatures of the key are stored: apart from the key, for every group of ends changes it.
CREATE TABLE key_use (
    key_id     bytea PRIMARY KEY REFERENCES key (id),
    signatures bigint NOT NULL CHECK (signatures >= 0)
) WITH (fillfactor = 10);

-- Every version of the documents that rule an institution; the highest is effective.
CREATE TABLE document (
    institution text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL CHECK (kind IN ('policy', 'trust', 'callers')),
    version     bigint NOT NULL CHECK (version >= 1),
    bytes       bytea NOT NULL,                                     -- exactly as loaded
    loaded_at   bigint NOT NULL,
    PRIMARY KEY (institution, kind, version)
);

-- One row: how many documents were ever loaded. A decision names the generation it was made in.
CREATE TABLE generation (
    one   integer PRIMARY KEY CHECK (one = 1),
    value bigint NOT NULL CHECK (value >= 0)
);
INSERT INTO generation VALUES (1, 0);

-- What a key was, or is, to sign: recorded before the key is used, ended once.
CREATE SEQUENCE operation_id;
CREATE TABLE operation (
    id           bigint PRIMARY KEY,
    institution  text COLLATE "C" NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('authorization', 'device-certificate', 'crl')),
    content      bytea NOT NULL CHECK (octet_length(content) = 32), -- SHA-256 of all that the caller set
    state        text NOT NULL CHECK (state IN ('PENDING', 'AUTHORIZED', 'DENIED', 'EXPIRED', 'FAILED')),
    key_id       bytea NOT NULL REFERENCES key (id),
    to_be_signed bytea NOT NULL,                                    -- these bytes and no others are signed
    expires_at   bigint NOT NULL,                                   -- no signature is stored then or later
    sign_by      bigint NOT NULL,                                   -- when resumed, signed only before
    object       text NOT NULL,                                     -- jti, serial number or CRLNumber, for audit events
    device       uuid,
    policy       bytea CHECK (octet_length(policy) = 32),           -- SHA-256 of the policy that approved it
    actor        text NOT NULL,                                     -- on whose behalf it was begun
    request      text NOT NULL,                                     -- and for which request
    begun_at     bigint NOT NULL,
    ended_at     bigint,
    artifact     bytea,                                             -- the signed object: compact JWS or DER
    reason       text,                                              -- why it ended without a signature
    CHECK ((state = 'PENDING') = (ended_at IS NULL)),
    CHECK ((state = 'AUTHORIZED') = (artifact IS NOT NULL)),
    CHECK ((state IN ('DENIED', 'EXPIRED', 'FAILED')) = (reason IS NOT NULL))
);
-- For the sweep.
CREATE INDEX operation_overdue ON operation (expires_at) WHERE state = 'PENDING';
-- For a CRL that is being made.
CREATE INDEX operation_pending_crl ON operation (key_id, id) WHERE state = 'PENDING' AND kind = 'crl';

-- A phone. Its certificate is its operation's artifact; until then it does not exist for anyone.
CREATE TABLE device (
    id                 uuid PRIMARY KEY,
    operation          bigint NOT NULL UNIQUE REFERENCES operation (id),
    issuer             text COLLATE "C" NOT NULL,
    issuer_key         bytea NOT NULL REFERENCES key (id),
    request            bytea CHECK (octet_length(request) = 32),    -- SHA-256 of the CertificationRequestInfo
    public_key         bytea UNIQUE CHECK (octet_length(public_key) = 32), -- SHA-256 of the SubjectPublicKeyInfo
    subscriber         text COLLATE "C" NOT NULL,                   -- the issuer's pseudonym
    serial             bytea NOT NULL,
    not_after          bigint NOT NULL,
    certificate_sha256 bytea UNIQUE CHECK (octet_length(certificate_sha256) = 32), -- NULL until it is signed
    -- Both are NULL once the enrolment has ended without a certificate, so that it may be tried again.
    CHECK ((request IS NULL) = (public_key IS NULL)),
    CHECK (certificate_sha256 IS NULL OR request IS NOT NULL),
    UNIQUE (issuer, request),
    UNIQUE (issuer_key, serial)                                     -- RFC 5280 s4.1.2.2
);
-- For the limit of devices per subscriber.
CREATE INDEX device_subscriber ON device (issuer, subscriber);
-- For lists of devices in the order of their ids.
CREATE INDEX device_issued ON device (issuer, id) WHERE certificate_sha256 IS NOT NULL;
CREATE INDEX device_issued_to ON device (issuer, subscriber, id) WHERE certificate_sha256 IS NOT NULL;

-- An order that was taken for co-signing, with what it reserves of the money limits.
CREATE TABLE cosigned_order (
    operation   bigint PRIMARY KEY REFERENCES operation (id),
    institution text COLLATE "C" NOT NULL,
    device      uuid NOT NULL REFERENCES device (id),
    jti         uuid NOT NULL,
    order_jws   text NOT NULL,                                      -- the first that was recorded, exactly
    currency    text NOT NULL CHECK (length(currency) = 3),
    minor       bigint NOT NULL CHECK (minor BETWEEN 1 AND 999999999999999999),
    reserved_at bigint,                                             -- NULL once the reservation was given back
    UNIQUE (institution, device, jti)
);
-- For the day's sum.
CREATE INDEX cosigned_order_day ON cosigned_order (institution, device, reserved_at) INCLUDE (currency, minor);

-- That an institution takes a device's orders for one of its accounts. Deleted on release; orders do not depend on it.
CREATE TABLE acceptance (
    institution text COLLATE "C" NOT NULL,
    device      uuid NOT NULL REFERENCES device (id),
    account     text COLLATE "C" NOT NULL,                          -- the institution's pseudonym
    accepted_at bigint NOT NULL,
    PRIMARY KEY (institution, device)
);
CREATE INDEX acceptance_account ON acceptance (institution, account, device);

-- A revoked certificate, numbered per issuing key so that a CRL can say up to which revocation it goes. Serial number
-- and notAfter are repeated here, where a CRL is made, so that entries long expired are never read again.
CREATE TABLE revocation (
    issuer_key bytea NOT NULL REFERENCES key (id),
    sequence   bigint NOT NULL CHECK (sequence >= 1),
    device     uuid NOT NULL UNIQUE REFERENCES device (id),
    serial     bytea NOT NULL,
    not_after  bigint NOT NULL,
    reason     bigint NOT NULL CHECK (reason BETWEEN 0 AND 10 AND reason <> 7), -- CRLReason, RFC 5280 s5.3.1
    revoked_at bigint NOT NULL,
    PRIMARY KEY (issuer_key, sequence),
    UNIQUE (issuer_key, serial)
);
CREATE INDEX revocation_due ON revocation (issuer_key, not_after);

-- A CRL, signed or to be signed; its DER is its operation's artifact.
CREATE TABLE crl (
    issuer_key  bytea NOT NULL REFERENCES key (id),
    number      bigint NOT NULL CHECK (number >= 1),                -- CRLNumber, RFC 5280 s5.2.3
    operation   bigint NOT NULL UNIQUE REFERENCES operation (id),
    revocations bigint NOT NULL CHECK (revocations >= 0),           -- the last sequence number in it
    next_update bigint NOT NULL,
    PRIMARY KEY (issuer_key, number)
);

-- Audit events: each the exact bytes of a future Merkle leaf. The numbers rise along what happened to one object; a
-- transaction that was rolled back leaves a gap.
CREATE TABLE audit (
    seq  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    leaf bytea NOT NULL
);
