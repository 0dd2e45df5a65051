-- The durable record, version 2: what lists of devices, keys and documents are read from. It only adds: no row, column
-- or constraint of version 1 changes. Stop the service before: signatures that a program of version 1 stores later are
-- not counted.

-- How many signatures of the key are stored, and when it was registered (NULL: before this was recorded).
ALTER TABLE key ADD COLUMN signatures INTEGER NOT NULL DEFAULT 0 CHECK (signatures >= 0);
ALTER TABLE key ADD COLUMN registered_at INTEGER;
UPDATE key SET signatures = stored.count
    FROM (SELECT key_id, count(*) AS count FROM operation WHERE state = 'AUTHORIZED' GROUP BY key_id) AS stored
    WHERE stored.key_id = key.id;

-- For the list of an institution's keys.
CREATE INDEX key_institution ON key (institution);

-- For lists of devices in the order of their ids: an issuer's, a subscriber's, an acceptor's for one account. All
-- acceptances of an institution stand in that order already.
CREATE INDEX device_issued ON device (issuer, id) WHERE certificate_sha256 IS NOT NULL;
CREATE INDEX device_issued_to ON device (issuer, subscriber, id) WHERE certificate_sha256 IS NOT NULL;
CREATE INDEX acceptance_account ON acceptance (institution, account, device);
