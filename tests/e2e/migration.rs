//! A store of version 1, with a whole story in it: refused with the way out, brought to this version with one command,
//! and served on as if nothing had been.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::{
    customer::Customer,
    deployment::Deployment,
    failure::Failure,
    programs::{self, Watched},
    recheck::recheck,
    story,
    terminal::{Said, Terminal},
};
use rusqlite::Connection;
use semops_objects::InstitutionId;
use semops_proto::v1::{self, DeviceRelation};
use softhsm_setup::scheme::{Register, Role, Scheme};

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

/// Leaves the directory as a program of version 1 left it: nobody rules anything. Gives who is to.
fn nobody_rules(deployment: &Deployment) -> Result<PathBuf, Failure> {
    let directory = deployment.directory();
    let scheme = InstitutionId::of_scheme();
    fs::remove_dir_all(directory.custodians_folder())?;
    fs::remove_file(directory.scheme_roots())?;
    let mut named = table("[scheme]", deployment.scheme().register());
    let institutions = deployment.scheme().institutions().iter();
    for institution in institutions {
        let head = format!("[[institution]]\nid = \"{}\"", institution.id());
        named += &table(&head, institution.register());
    }
    for id in deployment.institutions()?.iter().chain([&scheme]) {
        fs::remove_file(directory.ceremony(id))?;
        fs::remove_file(directory.custodians(id))?;
    }
    let config = fs::read_to_string(directory.config())?;
    let of_custodians =
        |line: &&str| line.starts_with("ceremony = ") || line.starts_with("changes = ");
    let lines = config.lines().filter(|line| !of_custodians(line));
    let config: String = lines.map(|line| format!("{line}\n")).collect();
    fs::write(directory.config(), config)?;
    let file = directory.path().join("custodians.toml");
    fs::write(&file, named)?;
    Ok(file)
}

fn table(head: &str, register: &Register) -> String {
    let persons = register.custodians().iter();
    let persons: Vec<_> = persons.map(|person| format!("\"{person}\"")).collect();
    let quorum = register.quorum().get();
    format!(
        "{head}\ncustodians = [{}]\nquorum = {quorum}\n\n",
        persons.join(", ")
    )
}

/// Has them rule it with one command.
fn custody(deployment: &Deployment, custodians: &Path) -> Result<Said, Failure> {
    let ours = programs::ours(Watched::No)?;
    let mut command = Command::new(&ours.softhsm_setup);
    command.arg("custody").arg(deployment.directory().path());
    command.arg("--custodians").arg(custodians);
    Terminal::new()?.run(command.arg("--signer").arg(&ours.signer))
}

#[tokio::test]
async fn a_store_of_version_1_is_refused_then_migrated_and_served_on() -> Result<(), Failure> {
    let mut deployment = Deployment::limited(Scheme::EXAMPLE).await?;
    story::play_without_rotation(&deployment).await?;
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
        for word in ["has version 1", "needs 7", "migrate"] {
            assert!(said.err.contains(word), "{word}: {said:?}");
        }
    }
    let custodians = nobody_rules(&deployment)?;
    let unruled = fs::read(deployment.directory().config())?;
    let said = custody(&deployment, &custodians)?;
    assert!(
        said.code == Some(1) && said.err.contains("migrate"),
        "{said:?}"
    );
    assert!(!deployment.directory().custodians_folder().exists());
    for _ in 0..2 {
        assert!(deployment.run(&["migrate"])?.contains("schema version 7"));
    }
    let said = custody(&deployment, &custodians)?;
    assert!(said.succeeded(), "{said:?}");
    let ruled = fs::read(deployment.directory().config())?;
    assert_ne!(ruled, unruled);
    let said = custody(&deployment, &custodians)?;
    assert!(
        said.code == Some(1) && said.err.contains("begins twice"),
        "{said:?}"
    );
    assert_eq!(fs::read(deployment.directory().config())?, ruled);
    deployment.start().await?;
    let status = deployment.client("alfa", Role::Auditor).await?;
    let status = status.get_status(v1::GetStatusRequest {}).await?;
    assert_eq!((status.scheme_change, status.documents.len()), (1, 4));

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
