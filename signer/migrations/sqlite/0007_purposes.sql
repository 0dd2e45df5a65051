-- The durable record, version 7: keys for OCSP, audit and statements, and their certificates. No row has another form for it,
-- so that the tables need not be written anew
-- (https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes").
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '(purpose IN (''device-ca'', ''signing-ca'', ''authorization''))',
        '(purpose IN (''device-ca'', ''signing-ca'', ''authorization'', ''ocsp'', ''audit'', ''statement''))')
    WHERE type = 'table' AND name IN ('key', 'new_key');
UPDATE sqlite_schema SET sql = replace(sql, '''authorization-certificate'', ''certification-request''))',
        '''authorization-certificate'', ''key-certificate'', ''certification-request''))')
    WHERE type = 'table' AND name = 'operation';
PRAGMA writable_schema = RESET;
