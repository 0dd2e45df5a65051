//! What somebody writes into the record beside the service, and what is not used any longer for that.

use std::sync::Arc;

use super::world::{World, alfa};

/// What somebody writes who owns the record, and what is not used any longer for that.
#[tokio::test]
async fn what_nobody_approved_is_not_used() {
    let mine = "(SELECT number FROM change WHERE institution = 'alfa')";
    let policy = "UPDATE document SET bytes = CAST(bytes || X'0a' AS BLOB) WHERE institution = 'alfa' AND kind = 'policy'";
    let added = "INSERT INTO document (institution, kind, version, bytes, loaded_at) \
        SELECT institution, kind, version + 1, bytes, loaded_at FROM document WHERE institution = 'alfa' AND kind = 'trust'";
    let approval = &format!(
        "UPDATE approval SET jws = substr(jws, 1, length(jws) - 2) || 'AA' WHERE change IN {mine}"
    );
    let removed = &format!("DELETE FROM approval WHERE person = 'chloe' AND change IN {mine}");
    let bytes = "UPDATE change SET bytes = CAST(replace(CAST(bytes AS TEXT), 'semops', 'semopz') AS BLOB) WHERE institution = 'alfa'";
    let late = "UPDATE change SET ended_at = expires_at WHERE institution = 'alfa'";
    let gone = &format!(
        "DELETE FROM approval WHERE change IN {mine}; DELETE FROM change WHERE institution = 'alfa'"
    );
    let key = "UPDATE key SET state = 'suspended' WHERE institution = 'alfa' AND purpose = 'authorization'";
    for (sql, what) in [
        (policy, "policy"),
        (added, "trust"),
        (approval, "history"),
        (removed, "history"),
        (bytes, "history"),
        (late, "history"),
        (gone, "history"),
        (key, "keys"),
    ] {
        let world = World::new().await;
        world.write(sql);
        for authority in [Arc::clone(&world.authority), world.restarted().await] {
            let snapshot = authority.current().await.unwrap();
            let found: Vec<_> = snapshot.unapproved(&alfa()).to_vec();
            let names: Vec<_> = found.iter().map(|one| one.what.name()).collect();
            assert_eq!(names, [what], "{sql}: {found:?}");
            let all = what == "history";
            assert_eq!(snapshot.standing(&alfa()).is_err(), all, "{sql}");
            assert_eq!(snapshot.register(&alfa()).is_none(), all, "{sql}");
            assert_eq!(snapshot.policy(&alfa()).is_none(), all || what == "policy");
            assert_eq!(snapshot.trust(&alfa()).is_none(), all || what == "trust");
            assert_eq!(snapshot.keyring(&alfa()).is_err(), all, "{sql}");
            let beta = "beta".parse().unwrap();
            assert_eq!(snapshot.unapproved(&beta), [], "{sql}");
            assert!(snapshot.policy(&beta).is_some(), "{sql}");
        }
    }
}

/// Rows that cannot be read at all, as after a fault of a disk.
#[tokio::test]
async fn a_damaged_row_stops_its_institution_alone() {
    let mine = "(SELECT number FROM change WHERE institution = 'alfa')";
    let loose = "PRAGMA ignore_check_constraints = ON; ";
    for (damage, what) in [
        (
            format!(
                "UPDATE approval SET person = 'Nobody!' WHERE person = 'chloe' AND change IN {mine}"
            ),
            "approval",
        ),
        (
            format!(
                "UPDATE approval SET jws = CAST(X'ff' AS TEXT) WHERE person = 'chloe' AND change IN {mine}"
            ),
            "approval",
        ),
        (
            format!("{loose}UPDATE change SET id = X'00' WHERE institution = 'alfa'"),
            "change",
        ),
        (
            format!("{loose}UPDATE change SET sequence = -1 WHERE institution = 'alfa'"),
            "change",
        ),
        (
            format!(
                "{loose}UPDATE document SET version = -1 WHERE institution = 'alfa' AND kind = 'trust'"
            ),
            "document",
        ),
        (
            format!(
                "{loose}UPDATE key SET state = 'odd' WHERE institution = 'alfa' AND purpose = 'device-ca'"
            ),
            "keys",
        ),
    ] {
        let world = World::new().await;
        world.write(&damage);
        let authority = world.restarted().await;
        let snapshot = authority.current().await.unwrap();
        let found = snapshot.unapproved(&alfa());
        let history = if what == "keys" { "keys" } else { "history" };
        let [one] = found else {
            panic!("{damage}: {found:?}")
        };
        assert_eq!(one.what.name(), history, "{damage}");
        assert!(
            what == "keys" || one.why.contains(&format!("a row of {what}")),
            "{}",
            one.why
        );
        assert!(snapshot.keyring(&alfa()).is_err(), "{damage}");
        let beta = "beta".parse().unwrap();
        assert_eq!(snapshot.unapproved(&beta), [], "{damage}");
        assert!(snapshot.keyring(&beta).is_ok() && snapshot.policy(&beta).is_some());
        // Others are looked after too.
        assert_eq!(authority.recover().await.unwrap(), 0);
        authority.observe().await.unwrap();
    }
}

#[tokio::test]
async fn a_running_service_never_goes_back() {
    let world = World::new().await;
    world.bring(&world.policy(2, &[0, 1])).await.unwrap();
    assert_eq!(world.version().await, Some(2));
    world.write(
        "DELETE FROM approval WHERE change IN (SELECT number FROM change WHERE sequence = 2); \
         DELETE FROM change WHERE institution = 'alfa' AND sequence = 2; \
         DELETE FROM document WHERE institution = 'alfa' AND version = 2",
    );
    assert_eq!(world.version().await, None);
    let snapshot = world.authority.snapshot();
    let why = snapshot.unapproved(&alfa())[0].why.clone();
    assert!(why.contains("change 2 was"), "{why}");
    // Nor does it forget that it was longer when it looks once more.
    world.write("SELECT 1");
    assert_eq!(world.version().await, None);
    // Whoever starts sees an older state, which was approved then.
    let restarted = world.restarted().await;
    assert_eq!(restarted.snapshot().policy(&alfa()).unwrap().version(), 1);
}
