//! An institution leaves: its persons type what the plan prints, one line after the other, until no key of theirs is left and
//! the service runs without them; the others pay on meanwhile.

pub(crate) mod desk;
mod lane;

use std::{collections::BTreeSet, time::Duration};

use e2e::{
    clock::Hands,
    customer::{Customer, order_from},
    deployment::{Deployment, unix_now},
    failure::Failure,
    programs,
    recheck::{self, Authorities, recheck},
    refusal::demand,
    token,
    until::until,
};
use semops_pki::algorithm::sha256;
use semops_proto::v1;
use serde_json::Value;
use softhsm_setup::scheme::{Role, Scheme};
use tonic::Code;

use self::{
    desk::{Desk, commands, next},
    lane::Lane,
};

const SOON: Duration = Duration::from_secs(60);
const PHONES: usize = 3;
/// More than any way through the plan has.
const LOOKS: usize = 40;

/// Phones that beta has certified, each of which has paid.
async fn paid(deployment: &Deployment) -> Result<Vec<String>, Failure> {
    let issuer = deployment.client("beta", Role::Enrolment).await?;
    let bank = deployment.client("beta", Role::Payments).await?;
    let mut paid = Vec::new();
    for _ in 0..PHONES {
        let customer = Customer::enrolled_by(&issuer).await?;
        customer.accepted_by(&issuer).await?;
        let order = order_from("beta", "1.00", "EUR")?;
        let answer = bank.cosign_order(customer.asks(&order)?).await?;
        paid.push(answer.authorization_jws);
    }
    Ok(paid)
}

/// What was done, in the words of the plan.
struct Way {
    done: Vec<String>,
    /// The line that shows the plan at its end.
    line: String,
    plan: Value,
}

/// Has everything typed that the plan prints, until nothing is left; for what comes by itself its time comes.
async fn through(desk: &Desk<'_>, lane: &Lane) -> Result<Way, Failure> {
    let mut line = "semopsctl register offboard".to_owned();
    let mut done = Vec::new();
    for _ in 0..LOOKS {
        let plan = desk.plan(&line).await?;
        let Some(step) = next(&plan) else {
            return Ok(Way { done, line, plan });
        };
        let what = step["step"].as_str().unwrap().to_owned();
        match commands(step).as_slice() {
            [] => comes(desk, lane, &line, step).await?,
            [save] if save.contains("--evidence") => {
                line = save.replace("DIR", "evidence");
                lane.more(5).await?;
                // Its last CRLs may come a second later.
                settled(desk, &line, &what).await?;
            }
            typed => {
                for command in typed {
                    desk.types(step["who"].as_str().unwrap(), command)?;
                }
                lane.more(5).await?;
            }
        }
        if done.last() != Some(&what) {
            done.push(what);
        }
    }
    Err(Failure::new(format!("there is no end: {done:?}")))
}

/// Waits until this is no longer what comes next.
async fn settled(desk: &Desk<'_>, line: &str, what: &str) -> Result<(), Failure> {
    until("the next step", SOON, async || {
        let plan = desk.plan(line).await?;
        let still = next(&plan).is_some_and(|step| step["step"] == what);
        Ok((!still).then_some(()))
    })
    .await
}

/// A step is done by itself; if it has a time, that comes.
async fn comes(desk: &Desk<'_>, lane: &Lane, line: &str, step: &Value) -> Result<(), Failure> {
    if let Some(when) = step["when"].as_i64() {
        let mut at = lane.pause().await;
        let ahead = when - unix_now()? + 60;
        if u64::try_from(ahead)? > at.ahead {
            desk.hands.unwrap().set(ahead)?;
            at.ahead = u64::try_from(ahead)?;
        }
    }
    settled(desk, line, step["step"].as_str().unwrap()).await
}

/// The evidence verifies without a line of our code, and says what was signed.
fn verifies(desk: &Desk<'_>, paid: &[String]) -> Result<(), Failure> {
    for (folder, jws) in [("deactivated", &paid[0]), ("destroyed", &paid[1])] {
        desk.terminal
            .write(&format!("evidence/{folder}.jws"), jws)?;
        let lines = format!("cd evidence/{folder} && {VERIFY}");
        let mut bash = std::process::Command::new("bash");
        let said = desk.terminal.run(
            bash.args(["-ec", &lines])
                .env("PYTHON", programs::PYTHON)
                .env("JWS", format!("../{folder}.jws"))
                .env("DIGEST", hex(&sha256(jws.as_bytes()))),
        )?;
        assert!(said.succeeded(), "{folder}: {said:?}");
        let last = said.out.lines().last();
        assert_eq!(last, Some("beta signed it, and it is listed"), "{said:?}");
    }
    Ok(())
}

/// What a stranger does with the evidence: its digests; each chain with the CRLs that were in force; the phones, which are
/// revoked; one authorization with the key of its certificate.
const VERIFY: &str = include_str!("leaving/verify.sh");

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// One octet of one file is another: the plan names it; it is as it was: the plan is done.
async fn a_changed_file_is_named(desk: &Desk<'_>, way: &Way) -> Result<(), Failure> {
    let sums = String::from_utf8(desk.terminal.read("evidence/destroyed/SHA256SUMS")?)?;
    for ending in ["/crl.der", "/signed.csv", "000001.json"] {
        let mut names = sums.lines().filter_map(|line| line.split_once("  "));
        let (_, name) = names.find(|(_, name)| name.ends_with(ending)).unwrap();
        let path = format!("evidence/destroyed/{name}");
        let saved = desk.terminal.read(&path)?;
        let mut flipped = saved.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        desk.terminal.write(&path, &flipped)?;
        let plan = desk.plan(&way.line).await?;
        let step = next(&plan).unwrap();
        assert_eq!(step["step"], "the evidence of the keys' end is saved");
        let detail = step["detail"].as_str().unwrap();
        assert!(detail.contains(name), "{detail}");
        desk.terminal.write(&path, &saved)?;
        assert_eq!(next(&desk.plan(&way.line).await?), None);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_institution_leaves_by_the_lines_that_are_printed() -> Result<(), Failure> {
    let hands = Hands::new()?;
    let many = Scheme::EXAMPLE.replace("orders_per_day = 50", "orders_per_day = 1000000");
    let mut deployment = Deployment::prepare(&many, &mut |_| {})?;
    deployment
        .start_with(hands.of(deployment.signer()?))
        .await?;
    let jws = paid(&deployment).await?;
    let lane = Lane::paying(&deployment).await?;
    lane.more(10).await?;
    let desk = Desk::new(
        &deployment,
        "beta",
        ["dora-egli", "emil-fuchs"],
        Some(&hands),
    )?;

    let way = through(&desk, &lane).await?;
    in_order(&way.done);
    assert_eq!(token::private_keys(&deployment, "beta")?, 0);
    let custodian = deployment.client("beta", Role::Custodian).await?;
    let keys = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
    let ended = |key: &v1::Key| key.state() == v1::KeyState::Destroyed;
    assert!(keys.len() == 3 && keys.iter().all(ended), "{keys:?}");
    // Given again it changes nothing.
    let sums = |folder: &str| desk.terminal.read(&format!("evidence/{folder}/SHA256SUMS"));
    let before = [sums("deactivated")?, sums("destroyed")?];
    assert_eq!(desk.plan(&way.line).await?["steps"], way.plan["steps"]);
    assert_eq!([sums("deactivated")?, sums("destroyed")?], before);
    verifies(&desk, &jws)?;
    a_changed_file_is_named(&desk, &way).await?;
    recheck(&mut deployment).await?;

    // What is left to the operator.
    let afterwards = &way.plan["afterwards"][0];
    assert_eq!(afterwards["who"], "the operator of the service");
    let config = desk.takes_the_table_out()?;
    {
        let mut at = lane.pause().await;
        deployment.stop().await?;
        for line in commands(afterwards) {
            desk.operates(line)?;
        }
        deployment
            .start_with(hands.of(deployment.signer()?))
            .await?;
        at.bank = deployment.client("alfa", Role::Payments).await?;
    }
    lane.more(20).await?;
    let gone = deployment.client("beta", Role::Auditor).await?;
    let refused = gone.list_keys(v1::ListKeysRequest {}).await;
    demand(refused, Code::Unavailable, "INSTITUTION_NOT_SERVED")?;
    let served = lane.end().await?;
    assert!(served > 30, "{served}");
    deployment.stop().await?;

    // The whole record keeps its rules, the one who left among them.
    std::fs::write(deployment.directory().config(), config)?;
    let authorities = Authorities::read(&deployment)?;
    let now = (unix_now()? + 30 * 86_400) * 1_000_000;
    let (checked, findings) = recheck::check(&deployment.record().await?, &authorities, now)?;
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(checked.authorizations, served + PHONES);
    Ok(())
}

/// Nobody is enrolled any more, devices, callers, the other keys, the evidence, each end.
fn in_order(done: &[String]) {
    let words = |text: &String| match text.split_once(" key ") {
        Some((before, after)) => {
            let (_, after) = after.split_once(' ').unwrap();
            format!("{before} key {after}")
        }
        None => text.clone(),
    };
    let done: Vec<String> = done.iter().map(words).collect();
    let place = |what: &str| {
        let place = done.iter().position(|one| one == what);
        place.unwrap_or_else(|| panic!("{what} is missing: {done:?}"))
    };
    let places = [
        "device-ca key signs no more",
        "devices are revoked",
        "nobody pays or enrols any more",
        "authorization key signs no more",
        "signing-ca key signs no more",
        "the evidence is saved",
        "the end of authorization key is approved",
        "the end of device-ca key is approved",
        "the end of signing-ca key is approved",
        "authorization key is destroyed",
    ]
    .map(place);
    assert!(places.is_sorted(), "{done:?}");
    assert_eq!(BTreeSet::from(places).len(), places.len());
}
