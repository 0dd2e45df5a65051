//! Owns the check that no statement of a request reads a whole table or sorts.

use super::*;

const HOT: [&str; 115] = [
    rows::GENERATION,
    rows::HOLD,
    rows::ORDER,
    rows::ENROLLMENT,
    rows::CRL,
    rows::NEW_KEY,
    rows::PENDING_CRL,
    rows::OPERATION,
    rows::DEVICE,
    rows::DEVICE_BY_CERTIFICATE,
    rows::DEVICE_REPLACED,
    rows::REISSUE,
    rows::ACCEPTANCE,
    audit::APPEND,
    begin::KEY,
    begin::CRL_KEY,
    begin::NEW_KEY,
    begin::OF_NEW_KEY,
    begin::STANDING,
    begin::DAY,
    begin::SUBSCRIBER,
    begin::PUBLIC_KEY,
    begin::LAST_CRL,
    begin::USES,
    begin::OPERATION,
    begin::ORDER,
    begin::DEVICE,
    begin::CRL,
    replace::REPLACE,
    changes::PROPOSABLE,
    changes::PROPOSE,
    changes::ENCLOSE,
    changes::DECIDABLE,
    changes::DECIDE,
    changes::END,
    changes::REMOVE,
    changes::OVERDUE,
    complete::PENDING,
    complete::END,
    complete::GIVE_BACK_MONEY,
    complete::GIVE_BACK_DEVICE,
    complete::CERTIFY,
    complete::COUNT,
    complete::ORDER_JWS,
    complete::OVERDUE,
    crls::NEWEST,
    crls::REVOKED,
    crls::LISTED,
    devices::ACCEPT,
    devices::RELEASE,
    devices::ISSUED,
    devices::LAST_REVOCATION,
    devices::REVOKE,
    documents::LATEST,
    documents::VERSION,
    documents::RAISE,
    destructions::KEY,
    destructions::PENDING,
    destructions::BEGIN,
    destructions::END,
    destructions::STILL_VALID,
    execution::TAKE,
    execution::STANDS,
    execution::LIVE,
    execution::CERTIFY,
    execution::OTHERS,
    histories::CHANGE,
    histories::LISTED,
    histories::NUMBER,
    histories::DECISIONS,
    histories::ENCLOSED,
    keys::KEYS,
    keys::SIGNING,
    keys::SIGNED,
    new_keys::ADD,
    new_keys::ASK,
    new_keys::MADE,
    new_keys::NEW_KEY,
    new_keys::NEW_KEYS,
    new_keys::OTHERS,
    reissue::CONTENT,
    reissue::RECORD,
    reissue::STANDING,
    reissue::REVOKED,
    reissue::REPLACED,
    reissue::KEEP,
    reissue::REPLACE,
    reissue::GIVE_UP,
    removal::BURIED,
    removal::DUE_ORDERS,
    removal::DUE_CRLS,
    removal::DUE_SUBSCRIBERS,
    removal::DUE_EVENTS,
    removal::BURY,
    removal::COUNT_REMOVED,
    removal::REMOVE_ORDER,
    removal::REMOVE_CRL,
    removal::REMOVE_OPERATION,
    removal::UNNAME,
    removal::REMOVE_EVENTS,
    removal::PREFIX,
    removal::EXTEND_PREFIX,
    removal::ISSUED,
    removal::HELD_ORDERS,
    removal::ORDERS_OF,
    removal::ANY_BURIED,
    restore::EXTEND,
    restore::KNOWN,
    restore::OWNER,
    restore::REMEMBER,
    restore::PUBLISHED,
    pages::ISSUED,
    pages::ISSUED_TO,
    pages::ACCEPTED,
    pages::ACCEPTED_FOR,
];

#[test]
fn no_statement_reads_a_whole_table() {
    let (_made, path) = make_file();
    let connection = File(path).open();
    let plan = |sql: &str| -> Vec<String> {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let count = statement.parameter_count();
        let nulls = rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, count));
        statement
            .query_map(nulls, |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    for sql in HOT {
        let steps = plan(sql);
        let searched = steps.iter().any(|step| step.starts_with("SEARCH"));
        assert!(searched || sql.starts_with("INSERT"), "{sql}: {steps:?}");
        let slow = |step: &String| step.starts_with("SCAN") || step.contains("TEMP B-TREE");
        assert!(!steps.iter().any(slow), "{sql}: {steps:?}");
    }
    // What the check would find.
    assert!(
        plan("SELECT leaf FROM audit WHERE leaf = ?1")
            .iter()
            .any(|step| step.starts_with("SCAN"))
    );
    // A group that ends counts its signatures by the keys' primary key.
    assert_eq!(
        plan(complete::COUNT),
        ["SEARCH key USING INDEX sqlite_autoindex_key_1 (id=?)"]
    );
    // A page is a range of ids in an index of the asking institution's own rows.
    for (sql, range) in [
        (
            pages::ISSUED,
            "d USING INDEX device_issued (issuer=? AND id>?)",
        ),
        (
            pages::ISSUED_TO,
            "d USING INDEX device_issued_to (issuer=? AND subscriber=? AND id>?)",
        ),
        (
            pages::ACCEPTED,
            "a USING COVERING INDEX sqlite_autoindex_acceptance_1 (institution=? AND device>?)",
        ),
        (
            pages::ACCEPTED_FOR,
            "a USING COVERING INDEX acceptance_account (institution=? AND account=? AND device>?)",
        ),
    ] {
        assert_eq!(plan(sql)[0], format!("SEARCH {range}"), "{sql}");
    }
    // So is a page of what a key has signed.
    assert_eq!(
        plan(keys::SIGNED)[0],
        "SEARCH o USING INDEX operation_signed (key_id=? AND ended_at>? AND ended_at<?)"
    );
    // Intents are counted in the index of those that are pending.
    let steps = plan(complete::INTENTS);
    assert!(
        steps
            .iter()
            .any(|step| step.contains("COVERING INDEX operation_overdue")),
        "{steps:?}"
    );
    // The day's sum never leaves its index.
    assert!(
        plan(begin::DAY)
            .iter()
            .any(|step| step.contains("COVERING INDEX cosigned_order_day"))
    );
}
