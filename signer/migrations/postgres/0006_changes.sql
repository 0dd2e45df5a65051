-- The durable record, version 6: changes of what rules an institution, who approved them, and the life of its keys, as the
-- embedded store's version 5 has them. Older programs serve on until the first history begins: they cannot read a register
-- of custodians, and would use what nobody has approved.

-- A proposal, exactly. The executed ones of an institution are its history: each names the SHA-256 of the one before.
CREATE TABLE change (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,    -- in the order in which they were recorded
    institution text COLLATE "C" NOT NULL,
    id          bytea NOT NULL CHECK (octet_length(id) = 32),       -- SHA-256 of its bytes
    sequence    bigint NOT NULL CHECK (sequence >= 1),              -- its place in the history
    state       text NOT NULL CHECK (state IN ('PENDING', 'EXECUTED', 'REJECTED', 'SUPERSEDED', 'EXPIRED')),
    proposed_at bigint NOT NULL,
    expires_at  bigint NOT NULL,                                    -- nothing comes of it then or later
    ended_at    bigint,
    bytes       bytea NOT NULL,
    UNIQUE (institution, id),
    CHECK ((state = 'PENDING') = (ended_at IS NULL))
);
-- A place in the history is taken once.
CREATE UNIQUE INDEX change_executed ON change (institution, sequence) WHERE state = 'EXECUTED';
CREATE INDEX change_pending ON change (institution) WHERE state = 'PENDING';
-- For the sweep.
CREATE INDEX change_overdue ON change (expires_at) WHERE state = 'PENDING';
-- For lists.
CREATE INDEX change_listed ON change (institution, number);

-- What a pending change would bring into force. Deleted when it ends: what was executed stands in its own place then.
CREATE TABLE change_document (
    change bigint NOT NULL REFERENCES change (number),
    kind   text NOT NULL CHECK (kind IN ('policy', 'trust', 'callers', 'custodians', 'certificate')),
    bytes  bytea NOT NULL,
    PRIMARY KEY (change, kind)
);

-- A person's decision about a change, by the signature of a key of the person's own. One per person, never another.
CREATE TABLE approval (
    change   bigint NOT NULL REFERENCES change (number),
    person   text COLLATE "C" NOT NULL,
    decision text NOT NULL CHECK (decision IN ('approve', 'reject')),
    jws      text NOT NULL,                                         -- exactly as it came
    at       bigint NOT NULL,
    PRIMARY KEY (change, person)
);

-- The certificate that a change brought along for a key.
CREATE TABLE key_certificate (
    key_id bytea PRIMARY KEY REFERENCES key (id),
    der    bytea NOT NULL
);

-- A key that a custodian asked for: recorded before it is made in the token, and with its public half once it was.
CREATE TABLE new_key (
    institution text COLLATE "C" NOT NULL,
    request     uuid NOT NULL,                                      -- the caller's own
    purpose     text NOT NULL CHECK (purpose IN ('device-ca', 'signing-ca', 'authorization')),
    asked_at    bigint NOT NULL,                                    -- last
    key_id      bytea UNIQUE REFERENCES key (id),                   -- NULL until it is made
    public_key  bytea CHECK (octet_length(public_key) = 65),        -- SEC 1 s2.3.3
    operation   bigint UNIQUE REFERENCES operation (id),            -- which signs its certificate, or its own request
    PRIMARY KEY (institution, request),
    CHECK ((key_id IS NULL) = (public_key IS NULL)),
    CHECK (operation IS NULL OR key_id IS NOT NULL)
);

-- When an active key may sign: from the one moment until before the other. NULL: without a bound. And more words where
-- there were fewer.
ALTER TABLE key ADD COLUMN active_from bigint, ADD COLUMN active_until bigint,
    DROP CONSTRAINT key_state_check, ADD CONSTRAINT key_state_check CHECK
    (state IN ('pre-activation', 'active', 'suspended', 'deactivated', 'compromised', 'destroyed'));
ALTER TABLE document DROP CONSTRAINT document_kind_check, ADD CONSTRAINT document_kind_check CHECK
    (kind IN ('policy', 'trust', 'callers', 'custodians'));

ALTER TABLE operation DROP CONSTRAINT operation_kind_check, ADD CONSTRAINT operation_kind_check CHECK
    (kind IN ('authorization', 'device-certificate', 'crl', 'authorization-certificate', 'certification-request'));

UPDATE schema_version SET version = 6;
