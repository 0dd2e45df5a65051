-- The durable record, version 8: keys for OCSP, audit and statements, and their certificates, as the embedded store's version
-- 7 has them. It only adds words: older programs serve on, but cannot read a key of the new purposes, nor the change that takes
-- it up. The first such key is made once every replica is of this version.

ALTER TABLE key DROP CONSTRAINT key_purpose_check, ADD CONSTRAINT key_purpose_check CHECK
    (purpose IN ('device-ca', 'signing-ca', 'authorization', 'ocsp', 'audit', 'statement'));
ALTER TABLE new_key DROP CONSTRAINT new_key_purpose_check, ADD CONSTRAINT new_key_purpose_check CHECK
    (purpose IN ('device-ca', 'signing-ca', 'authorization', 'ocsp', 'audit', 'statement'));

-- Every row has one of the words that were allowed before: the table need not be read, however large it is.
ALTER TABLE operation DROP CONSTRAINT operation_kind_check, ADD CONSTRAINT operation_kind_check CHECK
    (kind IN ('authorization', 'device-certificate', 'crl', 'authorization-certificate', 'key-certificate',
        'certification-request')) NOT VALID;

UPDATE schema_version SET version = 8;
