-- The durable record, version 5: changes of what rules an institution, who approved them, and the life of its keys. Stop
-- the service before: a program of version 4 would use what nobody has approved.

-- A proposal, exactly. The executed ones of an institution are its history: each names the SHA-256 of the one before.
CREATE TABLE change (
    number      INTEGER PRIMARY KEY NOT NULL,                       -- in the order in which they were recorded
    institution TEXT NOT NULL,
    id          BLOB NOT NULL CHECK (length(id) = 32),              -- SHA-256 of its bytes
    sequence    INTEGER NOT NULL CHECK (sequence >= 1),             -- its place in the history
    state       TEXT NOT NULL CHECK (state IN ('PENDING', 'EXECUTED', 'REJECTED', 'SUPERSEDED', 'EXPIRED')),
    proposed_at INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,                                   -- nothing comes of it then or later
    ended_at    INTEGER,
    bytes       BLOB NOT NULL,
    UNIQUE (institution, id),
    CHECK ((state = 'PENDING') = (ended_at IS NULL))
) STRICT;
-- A place in the history is taken once.
CREATE UNIQUE INDEX change_executed ON change (institution, sequence) WHERE state = 'EXECUTED';
CREATE INDEX change_pending ON change (institution) WHERE state = 'PENDING';
-- For the sweep.
CREATE INDEX change_overdue ON change (expires_at) WHERE state = 'PENDING';
-- For lists.
CREATE INDEX change_listed ON change (institution, number);

-- What a pending change would bring into force. Deleted when it ends: what was executed stands in its own place then.
CREATE TABLE change_document (
    change INTEGER NOT NULL REFERENCES change (number),
    kind   TEXT NOT NULL CHECK (kind IN ('policy', 'trust', 'callers', 'custodians', 'certificate')),
    bytes  BLOB NOT NULL,
    PRIMARY KEY (change, kind)
) STRICT;

-- A person's decision about a change, by the signature of a key of the person's own. One per person, never another.
CREATE TABLE approval (
    change   INTEGER NOT NULL REFERENCES change (number),
    person   TEXT NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('approve', 'reject')),
    jws      TEXT NOT NULL,                                         -- exactly as it came
    at       INTEGER NOT NULL,
    PRIMARY KEY (change, person)
) STRICT;

-- The certificate that a change brought along for a key.
CREATE TABLE key_certificate (
    key_id BLOB PRIMARY KEY NOT NULL REFERENCES key (id),
    der    BLOB NOT NULL
) STRICT;

-- A key that a custodian asked for: recorded before it is made in the token, and with its public half once it was.
CREATE TABLE new_key (
    institution TEXT NOT NULL,
    request     BLOB NOT NULL CHECK (length(request) = 16),         -- the caller's own UUID
    purpose     TEXT NOT NULL CHECK (purpose IN ('device-ca', 'signing-ca', 'authorization')),
    asked_at    INTEGER NOT NULL,                                   -- last
    key_id      BLOB UNIQUE REFERENCES key (id),                    -- NULL until it is made
    public_key  BLOB CHECK (length(public_key) = 65),               -- SEC 1 s2.3.3
    operation   INTEGER UNIQUE REFERENCES operation (id),           -- which signs its certificate, or its own request
    PRIMARY KEY (institution, request),
    CHECK ((key_id IS NULL) = (public_key IS NULL)),
    CHECK (operation IS NULL OR key_id IS NOT NULL)
) STRICT;

-- When an active key may sign: from the one moment until before the other. NULL: without a bound.
ALTER TABLE key ADD COLUMN active_from INTEGER;
ALTER TABLE key ADD COLUMN active_until INTEGER;

-- More words where there were fewer. No row has another form for it, so that the tables need not be written anew
-- (https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes").
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '(state IN (''active'', ''suspended''))',
        '(state IN (''pre-activation'', ''active'', ''suspended'', ''deactivated'', ''compromised'', ''destroyed''))')
    WHERE type = 'table' AND name = 'key';
UPDATE sqlite_schema SET sql = replace(sql, '(kind IN (''policy'', ''trust'', ''callers''))',
        '(kind IN (''policy'', ''trust'', ''callers'', ''custodians''))')
    WHERE type = 'table' AND name = 'document';
UPDATE sqlite_schema SET sql = replace(sql, '(kind IN (''authorization'', ''device-certificate'', ''crl''))',
        '(kind IN (''authorization'', ''device-certificate'', ''crl'', ''authorization-certificate'', ''certification-request''))')
    WHERE type = 'table' AND name = 'operation';
PRAGMA writable_schema = RESET;
