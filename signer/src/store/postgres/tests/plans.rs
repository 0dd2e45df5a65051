//! Owns the check that no statement of a request needs to read a whole table.

use super::*;

const HOT: [&str; 85] = [
    begin::IDS,
    changes::PROPOSABLE,
    changes::DECIDABLE,
    changes::END,
    changes::REMOVE,
    changes::OVERDUE,
    complete::CERTIFY,
    complete::COUNT,
    complete::COUNTED,
    complete::END,
    complete::GIVE_BACK_DEVICES,
    complete::GIVE_BACK_MONEY,
    complete::INTENTS,
    complete::OUTCOMES,
    complete::OVERDUE,
    complete::PENDING,
    crls::REVOKED,
    crls::STATE,
    documents::LATEST,
    documents::VERSIONS,
    destructions::KEY,
    destructions::PENDING,
    destructions::STILL_VALID,
    execution::STANDS,
    execution::OTHERS,
    facts::CRLS,
    facts::ENROLLMENTS,
    facts::NEW_KEYS,
    facts::ORDERS,
    facts::USES,
    histories::CHANGE,
    histories::CHANGES,
    histories::ENCLOSED,
    keys::KEYS,
    keys::SIGNING,
    keys::SIGNED,
    locks::CHANGE,
    locks::DEVICES,
    locks::KEYS,
    new_keys::NEW_KEY,
    new_keys::NEW_KEYS,
    new_keys::OTHERS,
    pages::ACCEPTED,
    pages::ACCEPTED_FOR,
    pages::ISSUED,
    pages::ISSUED_TO,
    pages::PICTURE,
    quota::FORGET,
    quota::SPEND,
    quota::SPEND_FIRST,
    quota::STAND,
    reads::DEVICE,
    reads::GENERATION,
    reads::RULES,
    reads::ORDER,
    reads::RECALL_ENROLLMENT,
    reads::RECALL_ORDER,
    reads::RECALL_REPLACED,
    record::OF_NEW_KEYS,
    record::OPERATIONS,
    record::REPLACE,
    reissue::RECALL,
    reissue::FACTS,
    reissue::RECORD,
    reissue::LOCKED,
    reissue::REVOKED,
    reissue::REPLACED,
    reissue::REVOKE,
    reissue::KEEP,
    reissue::REPLACE,
    reissue::GIVE_UP,
    removal::DUE_ORDERS,
    removal::DUE_CRLS,
    removal::DUE_SUBSCRIBERS,
    removal::DUE_EVENTS,
    removal::BURY,
    removal::COUNT_REMOVED,
    removal::REMOVE_ORDERS,
    removal::REMOVE_CRLS,
    removal::REMOVE_OPERATIONS,
    removal::UNNAME,
    removal::REMOVE_EVENTS,
    removal::HOLDING,
    removal::ORDERS_OF,
    restore::LOST,
];

/// The plan of a statement for any values.
async fn plan(session: &Session, sql: &str) -> String {
    let prepare = format!("DEALLOCATE ALL; PREPARE hot AS {sql}");
    session.batch(&prepare).await.unwrap();
    let given =
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'hot'";
    let given: i32 = session.plain(given).await.unwrap()[0].parse().unwrap();
    let nulls = vec!["NULL"; usize::try_from(given).unwrap()].join(", ");
    let nulls = if nulls.is_empty() {
        nulls
    } else {
        format!("({nulls})")
    };
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE hot{nulls}");
    session.plain(&explain).await.unwrap().join("\n")
}

#[tokio::test]
async fn no_statement_needs_to_read_a_whole_table() {
    let settings = database(&CLUSTER).await;
    let session = Database(settings).session().await;
    // As the server keeps it. The tables are new: nothing is known of them.
    let generic = "SET plan_cache_mode = force_generic_plan";
    session.batch(generic).await.unwrap();
    for sql in HOT {
        let steps = plan(&session, sql).await;
        let whole = ["Seq Scan", "Bitmap", "Hash Cond", "Merge Cond"];
        let found = whole.iter().find(|step| steps.contains(**step));
        assert_eq!(found, None, "{sql}\n{steps}");
    }
    // What the check would find.
    let slow = plan(&session, "SELECT leaf FROM audit WHERE leaf = $1").await;
    assert!(slow.contains("Seq Scan"), "{slow}");
    // The day's sum never leaves its index; a page is a range of ids in one.
    let day = plan(&session, facts::ORDERS).await;
    assert!(
        day.contains("Index Only Scan using cosigned_order_day"),
        "{day}"
    );
    for (sql, index) in [
        (pages::ISSUED, "device_issued "),
        (pages::ISSUED_TO, "device_issued_to "),
        (pages::ACCEPTED, "acceptance_pkey "),
        (pages::ACCEPTED_FOR, "acceptance_account "),
        (complete::OVERDUE, "operation_overdue "),
        (keys::SIGNED, "operation_signed "),
    ] {
        let steps = plan(&session, sql).await;
        assert!(
            steps.contains(index) && !steps.contains("Sort"),
            "{sql}\n{steps}"
        );
    }
}
