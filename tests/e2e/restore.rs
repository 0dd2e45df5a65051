//! The record is put back from a backup that is five minutes old: no order is ever authorized twice, no CRLNumber is used
//! again, and who was revoked stays so.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e::{
    clock::Hands,
    customer::{self, Customer},
    deployment::Deployment,
    failure::Failure,
    numbers::{Numbers, ask},
    recheck::recheck,
    refusal::demand,
    stored,
    terminal::{Said, Terminal},
    until::until,
};
use rusqlite::Connection;
use semops_objects::Order;
use semops_pki::crl::CertificateRevocationList;
use semops_proto::{
    client::Client,
    v1::{Authority, CosignOrderRequest, GetStatusRequest, RevocationReason},
};
use softhsm_setup::scheme::{Role, Scheme};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::crls::{crl, get};

/// How long a CRL may take after a revocation.
const SOON: Duration = Duration::from_secs(20);
/// From the backup to the loss.
const LOST: i64 = 300;
/// The hold.
const HOLD: i64 = 630;

/// The callers of one start of the service.
struct Callers {
    mobilis: Client,
    alfa: Client,
    bank: Client,
}

impl Callers {
    async fn of(deployment: &Deployment) -> Result<Self, Failure> {
        Ok(Self {
            mobilis: deployment.client("mobilis", Role::Enrolment).await?,
            alfa: deployment.client("alfa", Role::Enrolment).await?,
            bank: deployment.client("alfa", Role::Payments).await?,
        })
    }

    async fn customer(&self) -> Result<Customer, Failure> {
        let customer = Customer::enrolled_by(&self.mobilis).await?;
        customer.accepted_by(&self.alfa).await?;
        Ok(customer)
    }

    async fn revoked(&self, customer: &Customer) -> Result<Vec<u8>, Failure> {
        customer
            .revoked_by(&self.mobilis, RevocationReason::KeyCompromise)
            .await?;
        serial(customer)
    }

    /// The first CRL of mobilis' devices that lists these.
    async fn listing(&self, serials: &[&Vec<u8>]) -> Result<CertificateRevocationList, Failure> {
        until("a CRL with the revoked devices", SOON, async || {
            let newest = crl(&self.mobilis, "mobilis", Authority::DeviceCa).await?;
            let list = CertificateRevocationList::from_der(&newest.crl)?;
            let all = serials.iter().all(|serial| list.entry(serial).is_some());
            Ok(all.then_some(list))
        })
        .await
    }
}

fn serial(customer: &Customer) -> Result<Vec<u8>, Failure> {
    Ok(customer.phone.chain()?[0].serial().to_vec())
}

/// An order of a phone whose clock is so many seconds ahead of ours, valid as long as any may be.
fn order(customer: &Customer, ahead: i64) -> Result<(Order, CosignOrderRequest), Failure> {
    let order = customer::order("1.00", "CNY")?;
    let iat = order.iat.saturating_add_signed(ahead);
    let exp = iat + 600;
    let order = Order { iat, exp, ..order };
    let ask = customer.asks(&order)?;
    Ok((order, ask))
}

/// What an operator types, by the hands of whoever is at the terminal.
fn backup(deployment: &Deployment, to: &Path) -> Result<(), Failure> {
    let connection = Connection::open(deployment.database())?;
    connection.execute("VACUUM INTO ?1", [to.to_str().unwrap()])?;
    Ok(())
}

fn put_back(deployment: &Deployment, backup: &Path) -> Result<(), Failure> {
    let database = deployment.database();
    for end in ["-wal", "-shm"] {
        let beside = PathBuf::from(format!("{}{end}", database.display()));
        if beside.exists() {
            fs::remove_file(beside)?;
        }
    }
    fs::copy(backup, database)?;
    Ok(())
}

/// Fetches all CRLs of the deployment into a directory, as verifiers do: those of the roots too.
fn fetch(deployment: &Deployment, into: &Path) -> Result<(), Failure> {
    fs::create_dir(into)?;
    let mut names = vec!["device-root".to_owned(), "signing-root".to_owned()];
    for institution in deployment.scheme().institutions() {
        names.push(format!("{}-device-ca", institution.id()));
        names.push(format!("{}-signing-ca", institution.id()));
    }
    for name in names {
        let answer = get(deployment, &format!("/crl/{name}.crl"))?;
        assert_eq!(answer.status, 200, "{name}");
        fs::write(into.join(format!("{name} of today")), answer.body)?;
    }
    Ok(())
}

/// How many rows there are of what a restore writes, and the end of the hold.
fn rows(deployment: &Deployment) -> Result<[i64; 6], Failure> {
    let connection = Connection::open(deployment.database())?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    Ok([
        number("SELECT count(*) FROM operation")?,
        number("SELECT count(*) FROM crl")?,
        number("SELECT count(*) FROM revocation")?,
        number("SELECT count(*) FROM listed")?,
        number("SELECT count(*) FROM audit")?,
        number("SELECT until FROM hold")?,
    ])
}

fn refused(deployment: &Deployment, hands: &Hands, directory: &Path) -> Result<Said, Failure> {
    let mut command = hands.of(deployment.signer()?);
    command.arg("--after-restore").arg(directory);
    let before = rows(deployment)?;
    let said = Terminal::new()?.run(&mut command)?;
    assert_eq!(said.code, Some(64), "{said:?}");
    assert_eq!(rows(deployment)?, before, "{said:?}");
    Ok(said)
}

/// The seconds that are left, as the refusal says.
fn held(called: Result<impl Sized, Status>) -> Result<i64, Failure> {
    let status = called.err().ok_or_else(|| Failure::new("not held"))?;
    let left = status.get_error_details().retry_info().cloned();
    demand(Err::<(), _>(status), Code::Unavailable, "AFTER_RESTORE")?;
    let left = left.and_then(|info| info.retry_delay).unwrap();
    Ok(i64::try_from(left.as_secs())?)
}

/// All that happened before the loss.
struct Before {
    kept: Customer,
    known: CosignOrderRequest,
    thief: Customer,
    lost: CosignOrderRequest,
    listed: Vec<Vec<u8>>,
    published: u64,
    older: PathBuf,
    newest: PathBuf,
    backup: PathBuf,
}

async fn before(deployment: &Deployment, hands: &Hands, at: &Path) -> Result<Before, Failure> {
    let callers = Callers::of(deployment).await?;
    let (kept, thief) = (callers.customer().await?, callers.customer().await?);
    let (_, known) = order(&kept, 0)?;
    callers.bank.cosign_order(known.clone()).await?;
    let older = at.join("older");
    fetch(deployment, &older)?;
    let first = callers.revoked(&callers.customer().await?).await?;
    callers.listing(&[&first]).await?;
    let backup_file = at.join("backup.db");
    backup(deployment, &backup_file)?;

    hands.set(LOST)?;
    let (_, lost) = order(&kept, LOST)?;
    callers.bank.cosign_order(lost.clone()).await?;
    let stolen = callers.revoked(&thief).await?;
    let unknown = callers.revoked(&callers.customer().await?).await?;
    let listed = vec![first, stolen, unknown];
    let published = callers.listing(&listed.iter().collect::<Vec<_>>()).await?;
    let newest = at.join("newest");
    fetch(deployment, &newest)?;
    Ok(Before {
        kept,
        known,
        thief,
        lost,
        listed,
        published: published.number(),
        older,
        newest,
        backup: backup_file,
    })
}

/// What is missing, forged or older than the record itself is told all at once, and changes nothing.
fn mistakes(deployment: &Deployment, hands: &Hands, before: &Before) -> Result<(), Failure> {
    let base = format!("http://{}/crl", deployment.scheme().http());
    let mixed = before.newest.with_file_name("mixed");
    fs::create_dir(&mixed)?;
    for entry in fs::read_dir(&before.newest)? {
        let entry = entry?;
        fs::copy(entry.path(), mixed.join(entry.file_name()))?;
    }
    fs::remove_file(mixed.join("beta-signing-ca of today"))?;
    let forged = mixed.join("alfa-device-ca of today");
    let mut der = fs::read(&forged)?;
    *der.last_mut().unwrap() ^= 1;
    fs::write(&forged, der)?;
    let old = "mobilis-device-ca of today";
    fs::copy(before.older.join(old), mixed.join(old))?;
    fs::write(mixed.join("notes"), "fetched by hand")?;
    let said = refused(deployment, hands, &mixed)?.err;
    for words in [
        "the published CRLs have 5 mistakes",
        &format!("the signing-ca of beta: no CRL of it is there: fetch {base}/beta-signing-ca.crl"),
        &format!("fetch {base}/alfa-device-ca.crl"),
        "which the record itself holds",
        &format!("fetch {base}/mobilis-device-ca.crl"),
        "notes: ",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let nothing = before.newest.with_file_name("nothing");
    fs::create_dir(&nothing)?;
    let said = refused(deployment, hands, &nothing)?.err;
    assert!(said.contains("have 6 mistakes"), "{said}");
    let absent = refused(deployment, hands, &nothing.join("absent"))?.err;
    assert!(absent.contains("absent"), "{absent}");
    Ok(())
}

/// What goes on during the hold, and what does not.
async fn during(deployment: &Deployment, before: &Before, most: i64) -> Result<(), Failure> {
    let callers = Callers::of(deployment).await?;
    let cosign = async |ask: &CosignOrderRequest| callers.bank.cosign_order(ask.clone()).await;
    let (_, new) = order(&before.kept, LOST)?;
    let (_, stolen) = order(&before.thief, LOST)?;
    let fresh = callers.customer().await?;
    let (_, of_fresh) = order(&fresh, LOST)?;
    for ask in [&before.lost, &new, &stolen, &of_fresh] {
        let left = held(cosign(ask).await)?;
        assert!((1..=most).contains(&left), "{left}");
    }
    // What the record knows is answered from it.
    cosign(&before.known).await?;
    let list = callers
        .listing(&before.listed.iter().collect::<Vec<_>>())
        .await?;
    assert!(list.number() > before.published);
    assert_eq!(list.entries().len(), before.listed.len());
    let shown = callers.bank.get_status(GetStatusRequest {}).await?;
    assert!((1..=most).contains(&shown.held_seconds.into()), "{shown:?}");
    let measured = Numbers::of(deployment)?.sum("semops_hold_seconds", &[]);
    assert!(
        measured > Some(0.0) && measured <= Some(f64::from(shown.held_seconds)),
        "{measured:?}"
    );
    let ready = ask(deployment.scheme().admin(), "GET", "/readyz")?;
    assert_eq!(ready.status, 200);
    assert!(
        ready.body.contains("no order is co-signed for "),
        "{}",
        ready.body
    );
    Ok(())
}

#[tokio::test]
async fn a_restored_record_authorizes_nothing_twice_and_forgets_no_revocation()
-> Result<(), Failure> {
    let hands = Hands::new()?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let signer = |deployment: &Deployment| Ok::<_, Failure>(hands.of(deployment.signer()?));
    deployment.start_with(signer(&deployment)?).await?;
    let terminal = Terminal::new()?;
    let before = before(&deployment, &hands, &terminal.path("")).await?;
    let revoked_at = stored::events(&deployment)?.len();
    deployment.stop().await?;
    put_back(&deployment, &before.backup)?;
    assert!(stored::events(&deployment)?.len() < revoked_at);

    mistakes(&deployment, &hands, &before)?;

    let restoring = |deployment: &Deployment, published: &Path| {
        let mut command = signer(deployment)?;
        command.arg("--after-restore").arg(published);
        Ok::<_, Failure>(command)
    };
    let command = restoring(&deployment, &before.newest)?;
    deployment.start_with(command).await?;
    let said = deployment.log();
    let thief = before.thief.device_id();
    for words in [
        format!("the next is {}\n", before.published + 1),
        format!("the device-ca of mobilis: device {thief} is revoked again"),
        "is listed on, its device is not known".to_owned(),
        "alfa policy 1 ".to_owned(),
        "for 630 s from now".to_owned(),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    during(&deployment, &before, HOLD).await?;

    // It stands in the record: a start without the flag keeps to it, one with it never shortens it.
    deployment.stop().await?;
    hands.set(LOST + 60)?;
    deployment.start_with(signer(&deployment)?).await?;
    during(&deployment, &before, HOLD - 60).await?;
    let again = terminal.path("again");
    fetch(&deployment, &again)?;
    deployment.stop().await?;
    let said = refused(&deployment, &hands, &before.newest)?.err;
    assert!(said.contains("which the record itself holds"), "{said}");
    let command = restoring(&deployment, &again)?;
    deployment.start_with(command).await?;
    let callers = Callers::of(&deployment).await?;
    let left = held(callers.bank.cosign_order(before.lost.clone()).await)?;
    assert!(left > HOLD - 60, "{left}");

    let after = LOST + 60 + HOLD + 20;
    hands.set(after)?;
    let late = callers.bank.cosign_order(before.lost.clone()).await;
    demand(late, Code::FailedPrecondition, "ORDER_EXPIRED")?;
    let (_, stolen) = order(&before.thief, after)?;
    let stolen = callers.bank.cosign_order(stolen).await;
    demand(stolen, Code::FailedPrecondition, "DEVICE_REVOKED")?;
    let (new, ask_new) = order(&before.kept, after)?;
    callers.bank.cosign_order(ask_new).await?;
    let shown = callers.bank.get_status(GetStatusRequest {}).await?;
    let measured = Numbers::of(&deployment)?.sum("semops_hold_seconds", &[]);
    assert_eq!((shown.held_seconds, measured), (0, Some(0.0)));
    let state = stored::operation(&deployment, "authorization", Some(&new.jti.to_string()))?;
    assert_eq!(state.unwrap().state, "AUTHORIZED");

    hands.set(0)?;
    let checked = recheck(&mut deployment).await?;
    // Of those before the loss the record has one; the other can never come back.
    assert_eq!(checked.authorizations, 2);
    Ok(())
}
