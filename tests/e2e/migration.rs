//! A store of version 1, with a whole story in it: refused with the way out, brought to this version with one command,
//! and served on as if nothing had been.

use std::{fs, path::Path};

use e2e::{
    custodian::Motion,
    customer::Customer,
    deployment::{Deployment, unix_now},
    failure::Failure,
    programs,
    recheck::recheck,
    story::{self, Narrator},
    terminal::Terminal,
};
use rusqlite::Connection;
use semops_objects::{
    InstitutionId,
    change::{AttachmentKind, Base, ChangeFile, DocumentKind, DocumentName, Operation, Proposal},
};
use semops_proto::v1::{self, DeviceRelation};
use softhsm_setup::scheme::{Role, Scheme};

use crate::device_lists;

/// The tables of version 1 with the columns that they had, in an order in which nothing refers to what is not there yet.
const TABLES: [(&str, &str); 9] = [
    ("key", "id, institution, purpose, state"),
    ("document WHERE kind <> 'custodians'", "*"),
    ("operation", "*"),
    ("device", "*"),
    ("cosigned_order", "*"),
    ("acceptance", "*"),
    ("revocation", "*"),
    ("crl", "*"),
    // Nobody told of changes then.
    (
        "audit WHERE json_extract(CAST(leaf AS TEXT), '$.operation') NOT LIKE 'change.%' \
         AND json_extract(CAST(leaf AS TEXT), '$.operation') <> 'custodians'",
        "row_number() OVER (ORDER BY seq), leaf",
    ),
];

/// Makes `old` as a program of version 1 would have left it: its own SQL, and the rows of `new`.
fn as_version_1(new: &Path, old: &Path) -> Result<(), Failure> {
    let first = programs::workspace().join("signer/migrations/sqlite/0001_record.sql");
    let connection = Connection::open(old)?;
    connection.execute_batch(&fs::read_to_string(first)?)?;
    connection.execute("ATTACH ?1 AS new", [new.to_string_lossy()])?;
    for (rows, columns) in TABLES {
        let table = rows.split(' ').next().unwrap_or_default();
        let sql = format!("INSERT INTO main.{table} SELECT {columns} FROM new.{rows}");
        assert!(connection.execute(&sql, [])? > 0, "{table}");
    }
    let generation = "UPDATE main.generation SET value = (SELECT value FROM new.generation)";
    connection.execute(generation, [])?;
    connection.pragma_update(None, "user_version", 1)?;
    Ok(())
}

/// An institution that knew no custodians begins with them, and with the documents that it had.
fn begin(deployment: &Deployment, institution: &InstitutionId) -> Result<(), Failure> {
    let path = deployment.directory().ceremony(institution);
    let first = ChangeFile::parse(&fs::read(&path)?)?;
    let Operation::Ceremony { keys, .. } = first.proposal.operation().clone() else {
        panic!("no ceremony");
    };
    let (mut names, mut attachments) = (Vec::new(), Vec::new());
    for mut attachment in first.attachments {
        let AttachmentKind::Document(kind) = attachment.kind else {
            panic!("no document");
        };
        if kind != DocumentKind::Custodians {
            attachment.content = deployment.run(&[kind.name(), "show", institution.as_str()])?;
        }
        let (_, name) = DocumentName::of(kind, attachment.content.as_bytes()).unwrap();
        names.push(name);
        attachments.push(attachment);
    }
    let documents = names.try_into().unwrap();
    let base = Base::of_ceremony(deployment.scheme().name(), institution.clone());
    let now = u64::try_from(unix_now()?)?;
    let operation = Operation::Ceremony { documents, keys };
    let motion = Motion {
        proposal: Proposal::new(base, operation, [1; 16], now, now + 3_600)?,
        attachments,
    };
    let custodians = deployment.custodians(institution.as_str())?;
    fs::rename(deployment.change_file(&motion, &custodians)?, &path)?;
    let said = deployment.run(&["change", "load", &path.to_string_lossy()])?;
    assert!(said.contains("is effective now"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_store_of_version_1_is_refused_then_migrated_and_served_on() -> Result<(), Failure> {
    let mut deployment = Deployment::limited(Scheme::EXAMPLE).await?;
    story::play(&deployment, &Narrator::silent()).await?;
    let played = recheck(&mut deployment).await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let devices = device_lists::all(&mobilis, device_lists::of(DeviceRelation::Issued)).await?;
    assert!(!devices.is_empty() && played.authorizations > 0);
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let keys = auditor.list_keys(v1::ListKeysRequest {}).await?.keys;
    deployment.stop().await?;

    let old = deployment.directory().path().join("version-1.db");
    as_version_1(&deployment.database(), &old)?;
    fs::rename(&old, deployment.database())?;
    let terminal = Terminal::new()?;
    for words in [&[][..], &["policy", "show", "alfa"]] {
        let said = terminal.run(deployment.signer()?.args(words))?;
        assert_eq!(said.code, Some(1), "{said:?}");
        for word in ["has version 1", "needs 5", "migrate"] {
            assert!(said.err.contains(word), "{word}: {said:?}");
        }
    }
    for _ in 0..2 {
        assert!(deployment.run(&["migrate"])?.contains("schema version 5"));
    }
    for institution in deployment.institutions()? {
        begin(&deployment, &institution)?;
    }
    deployment.start().await?;

    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let after = device_lists::all(&mobilis, device_lists::of(DeviceRelation::Issued)).await?;
    assert_eq!(after, devices);
    let auditor = deployment.client("alfa", Role::Auditor).await?;
    let counted = auditor.list_keys(v1::ListKeysRequest {}).await?.keys;
    for (before, after) in keys.iter().zip(&counted) {
        // When it was registered had not been recorded. What it signed since, a CRL perhaps, counts on.
        let recorded = (after.registered_at, after.signatures >= before.signatures);
        assert_eq!(recorded, (None, true));
        let (registered_at, signatures) = (before.registered_at, before.signatures);
        assert_eq!(
            v1::Key {
                registered_at,
                signatures,
                ..after.clone()
            },
            *before
        );
    }
    let customer = Customer::enrolled_by(&mobilis).await?;
    let alfa = deployment.client("alfa", Role::Enrolment).await?;
    customer.accepted_by(&alfa).await?;
    // The re-check compares every counter with the signatures that are stored.
    let served = recheck(&mut deployment).await?;
    assert_eq!(served.certificates, played.certificates + 1);
    assert_eq!(served.authorizations, played.authorizations);
    Ok(())
}
