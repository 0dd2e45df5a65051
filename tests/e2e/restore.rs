//! The record is put back from a backup that is five minutes old: no order is ever authorized twice, no CRLNumber is used
//! again, and who was revoked stays so.

mod kept;
mod later_ca;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e::{
    customer::{self, Customer},
    deployment::Deployment,
    failure::Failure,
    numbers::{Numbers, ask},
    recheck::recheck,
    refusal::demand,
    terminal::{Said, Terminal},
    until::until,
};
use semops_objects::Order;
use semops_pki::crl::CertificateRevocationList;
use semops_proto::{
    client::Client,
    v1::{Authority, CosignOrderRequest, GetStatusRequest, RevocationReason},
};
use softhsm_setup::scheme::Role;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::crls::{crl, get};
use kept::Site;

/// How long a CRL may take after a revocation.
const SOON: Duration = Duration::from_secs(20);
/// From the backup to the loss.
const LOST: i64 = 300;
/// The hold.
const HOLD: i64 = 630;

const EVENTS: &str = "SELECT count(*) FROM audit";
const AUTHORIZED: &str = "SELECT count(*) FROM operation WHERE kind = 'authorization' AND state = 'AUTHORIZED' AND object = ";

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
async fn rows(site: &Site) -> Result<Vec<i64>, Failure> {
    let mut rows = Vec::new();
    for sql in [
        "SELECT count(*) FROM operation",
        "SELECT count(*) FROM crl",
        "SELECT count(*) FROM revocation",
        "SELECT count(*) FROM listed",
        EVENTS,
        "SELECT until FROM hold",
    ] {
        rows.push(site.count(sql).await?);
    }
    Ok(rows)
}

async fn refused(site: &Site, directory: &Path) -> Result<Said, Failure> {
    let mut command = site.signer()?;
    command.arg("--after-restore").arg(directory);
    let before = rows(site).await?;
    let said = Terminal::new()?.run(&mut command)?;
    assert_eq!(said.code, Some(64), "{said:?}");
    assert_eq!(rows(site).await?, before, "{said:?}");
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

async fn before(site: &Site, at: &Path) -> Result<Before, Failure> {
    let deployment = &site.deployment;
    let callers = Callers::of(deployment).await?;
    let (kept, thief) = (callers.customer().await?, callers.customer().await?);
    let (_, known) = order(&kept, 0)?;
    callers.bank.cosign_order(known.clone()).await?;
    let older = at.join("older");
    fetch(deployment, &older)?;
    let first = callers.revoked(&callers.customer().await?).await?;
    callers.listing(&[&first]).await?;
    let backup = at.join("backup");
    site.backup(&backup)?;

    site.hands.set(LOST)?;
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
        backup,
    })
}

/// What is missing, forged or older than the record itself is told all at once, and changes nothing.
async fn mistakes(site: &Site, before: &Before) -> Result<(), Failure> {
    let base = format!("http://{}/crl", site.deployment.scheme().http());
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
    let said = refused(site, &mixed).await?.err;
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
    let said = refused(site, &nothing).await?.err;
    assert!(said.contains("have 6 mistakes"), "{said}");
    let absent = refused(site, &nothing.join("absent")).await?.err;
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
    restored(Site::with_a_file()?).await
}

#[tokio::test]
async fn nor_does_a_restored_database() -> Result<(), Failure> {
    restored(Site::with_a_database().await?).await
}

async fn restored(mut site: Site) -> Result<(), Failure> {
    start(&mut site, None).await?;
    let terminal = Terminal::new()?;
    let before = before(&site, &terminal.path("")).await?;
    let events = site.count(EVENTS).await?;
    site.deployment.stop().await?;
    site.put_back(&before.backup)?;
    assert!(site.count(EVENTS).await? < events);

    mistakes(&site, &before).await?;

    start(&mut site, Some(&before.newest)).await?;
    let said = site.deployment.log();
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
    during(&site.deployment, &before, HOLD).await?;

    // It stands in the record: a start without the flag keeps to it, one with it never shortens it.
    site.deployment.stop().await?;
    site.hands.set(LOST + 60)?;
    start(&mut site, None).await?;
    during(&site.deployment, &before, HOLD - 60).await?;
    let again = terminal.path("again");
    fetch(&site.deployment, &again)?;
    site.deployment.stop().await?;
    let said = refused(&site, &before.newest).await?.err;
    assert!(said.contains("which the record itself holds"), "{said}");
    start(&mut site, Some(&again)).await?;
    let callers = Callers::of(&site.deployment).await?;
    let left = held(callers.bank.cosign_order(before.lost.clone()).await)?;
    assert!(left > HOLD - 60, "{left}");
    after(site, &before, &callers).await
}

/// The hold has ended.
async fn after(mut site: Site, before: &Before, callers: &Callers) -> Result<(), Failure> {
    let after = LOST + 60 + HOLD + 20;
    site.hands.set(after)?;
    let late = callers.bank.cosign_order(before.lost.clone()).await;
    demand(late, Code::FailedPrecondition, "ORDER_EXPIRED")?;
    let (_, stolen) = order(&before.thief, after)?;
    let stolen = callers.bank.cosign_order(stolen).await;
    demand(stolen, Code::FailedPrecondition, "DEVICE_REVOKED")?;
    let (new, ask_new) = order(&before.kept, after)?;
    callers.bank.cosign_order(ask_new).await?;
    let authorized = format!("{AUTHORIZED}'{}'", new.jti);
    assert_eq!(site.count(&authorized).await?, 1);

    site.hands.set(0)?;
    let checked = recheck(&mut site.deployment).await?;
    // Of those before the loss the record has one; the other can never come back.
    assert_eq!(checked.authorizations, 2);
    Ok(())
}

async fn start(site: &mut Site, restored: Option<&Path>) -> Result<(), Failure> {
    let mut command = site.signer()?;
    if let Some(published) = restored {
        command.arg("--after-restore").arg(published);
    }
    site.deployment.start_with(command).await
}
