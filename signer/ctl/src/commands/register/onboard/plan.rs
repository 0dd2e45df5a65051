//! What stands when a new institution comes, what is left to do, and what its peers have to do. Pure.

use semops_objects::{
    change::{DocumentKind, Standing},
    key::Purpose,
};

use super::super::steps::{Seen, Step};

const ONE: &str = "a custodian";
/// The keys with which an institution begins.
pub(super) const KEYS: [Purpose; 3] = [
    Purpose::DeviceCa,
    Purpose::SigningCa,
    Purpose::Authorization,
];
/// Each role has its callers.
pub(super) const ROLES: [&str; 4] = ["payments", "enrolment", "custodian", "auditor"];

/// What the plan is made of.
pub(super) struct Facts<'a> {
    pub(super) standing: &'a Standing,
    /// Of each of [`KEYS`], whether one is active whose certificate leads to its root; else why not.
    pub(super) keys: [Result<(), String>; 3],
    /// Of the CAs among them, whether their CRL is theirs and in force.
    pub(super) crls: [Result<(), String>; 2],
    /// The active callers in each of [`ROLES`].
    pub(super) callers: [Vec<String>; 4],
    /// Whom its policy lets its customers pay.
    pub(super) payees: Vec<String>,
    /// Whose authorizations it believes.
    pub(super) trusted: Vec<String>,
    /// Approval keys that lie beside the ceremony file.
    pub(super) approval_keys: Vec<String>,
}

/// The only step that is seen while the service has not been started with the institution.
pub(super) fn not_served() -> Vec<Step> {
    let commands = vec!["signer --config signer.toml --check-config".to_owned()];
    let served = served(Seen::Open).by("the operator of the service", commands);
    vec![served.detail(Some(
        "the institution was added while the service ran: restart it".to_owned(),
    ))]
}

fn served(seen: Seen) -> Step {
    Step::new("the service serves it", seen)
}

/// The steps, in their order.
pub(super) fn steps(facts: &Facts<'_>) -> Vec<Step> {
    let mut steps = vec![served(Seen::Done), ceremony(facts), approval_keys(facts)];
    steps.extend(KEYS.iter().zip(&facts.keys).map(|(purpose, key)| {
        let commands = vec![
            format!(
                "semopsctl keys create --purpose {} --out DIR",
                purpose.name()
            ),
            format!("semopsctl keys rotate {}", purpose.name()),
        ];
        let what = format!(
            "a {} key is active, its certificate leads to the root",
            purpose.name()
        );
        found(what, key).by(ONE, commands)
    }));
    steps.extend(KEYS.iter().zip(&facts.crls).map(|(purpose, crl)| {
        let what = format!("the CRL of its {} is in force", purpose.name());
        found(what, crl).by("by itself", Vec::new())
    }));
    steps.push(policy(facts));
    steps.extend(
        ROLES
            .iter()
            .zip(&facts.callers)
            .map(|(role, callers)| caller(facts, role, callers)),
    );
    for peer in peers(facts) {
        steps.push(trusts(facts, peer));
        steps.push(is_trusted(facts, peer));
    }
    steps
}

fn found(what: String, seen: &Result<(), String>) -> Step {
    let step = Step::new(what, Seen::is(seen.is_ok()));
    step.detail(seen.as_ref().err().cloned())
}

/// Whom it pays, or believes, beside itself.
fn peers<'a>(facts: &'a Facts<'_>) -> Vec<&'a str> {
    let own = facts.standing.institution().as_str();
    let both = facts.payees.iter().chain(&facts.trusted);
    let mut peers: Vec<&str> = both.map(String::as_str).filter(|one| *one != own).collect();
    peers.sort_unstable();
    peers.dedup();
    peers
}

fn ceremony(facts: &Facts<'_>) -> Step {
    let register = facts.standing.custodians();
    let (active, quorum) = (register.active().count(), register.quorum().get());
    let enough = active > usize::from(quorum);
    let detail = format!("{active} persons are active, {quorum} decide");
    Step::new(
        "its ceremony is in force, with a person more than decide",
        Seen::is(enough),
    )
    .by(
        ONE,
        next_document("custodians", facts, DocumentKind::Custodians),
    )
    .detail(Some(detail))
}

fn approval_keys(facts: &Facts<'_>) -> Step {
    let found = facts.approval_keys.join(", ");
    let detail = if found.is_empty() {
        "each person says that nobody else has a copy".to_owned()
    } else {
        format!("handed over in person, then deleted here: {found}")
    };
    Step::new("each approval key is with its person alone", Seen::Hidden)
        .by("every custodian", Vec::new())
        .detail(Some(detail))
}

fn policy(facts: &Facts<'_>) -> Step {
    let version = facts.standing.document(DocumentKind::Policy).version;
    let payees = facts.payees.join(", ");
    Step::new(
        "its policy lets its customers pay",
        Seen::is(!facts.payees.is_empty()),
    )
    .by(ONE, next_document("policy", facts, DocumentKind::Policy))
    .detail(Some(format!("version {version}: payees at {payees}")))
}

fn caller(facts: &Facts<'_>, role: &str, callers: &[String]) -> Step {
    let detail = match callers {
        [] => "certified by its TLS CA, and put into the register".to_owned(),
        some => format!("each with its connection profile: {}", some.join(", ")),
    };
    Step::new(
        format!("it has a caller in the role {role}"),
        Seen::is(!callers.is_empty()),
    )
    .by(ONE, next_document("callers", facts, DocumentKind::Callers))
    .detail(Some(detail))
}

/// The document in force, edited by hand, and proposed.
fn next_document(name: &str, facts: &Facts<'_>, kind: DocumentKind) -> Vec<String> {
    let next = facts.standing.document(kind).version.saturating_add(1);
    let file = format!("{name}-{next}.toml");
    vec![
        format!("semopsctl {name} show --out {file}"),
        format!("semopsctl change propose {name} {file} --approval-key FILE"),
    ]
}

/// That it believes a peer.
fn trusts(facts: &Facts<'_>, peer: &str) -> Step {
    let next = facts.standing.document(DocumentKind::Trust).version;
    let file = format!("trust-{}.toml", next.saturating_add(1));
    let trusted = facts.trusted.iter().any(|one| one == peer);
    Step::new(format!("it trusts {peer}"), Seen::is(trusted)).by(
        ONE,
        vec![
            format!(
                "semopsctl trust next --of {peer} --add {peer}-chain.pem --crl {peer}-signing-ca-crl.der --out {file}"
            ),
            format!("semopsctl change propose trust {file} --approval-key FILE"),
        ],
    )
}

/// That a peer believes it, which only the peer's callers see.
fn is_trusted(facts: &Facts<'_>, peer: &str) -> Step {
    let own = facts.standing.institution().as_str();
    Step::new(format!("{peer} trusts it"), Seen::Hidden)
        .by(
            "custodians of the peer, with the files that --out saves",
            vec![
                format!(
                    "semopsctl trust next --of {own} --add {own}-chain.pem --crl {own}-signing-ca-crl.der --out TRUST"
                ),
                "semopsctl change propose trust TRUST --approval-key FILE".to_owned(),
            ],
        )
        .detail(Some(format!(
            "`semopsctl trust` shows it to them; their policy names {own} under payees and device_issuers, if its payees are to be \
             paid and its phones to be accepted"
        )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::{super::super::steps::next, *};
    use crate::custody::specimen::World;

    fn whole(standing: &Standing) -> Facts<'_> {
        Facts {
            standing,
            keys: [Ok(()), Ok(()), Ok(())],
            crls: [Ok(()), Ok(())],
            callers: ROLES.map(|role| vec![format!("spiffe://s/alfa/{role}/one")]),
            payees: ["alfa", "beta"].map(str::to_owned).into(),
            trusted: ["gamma", "beta"].map(str::to_owned).into(),
            approval_keys: Vec::new(),
        }
    }

    #[test]
    fn what_is_missing_is_next_and_what_cannot_be_seen_is_asked() {
        let world = World::new();
        let history = world.history();
        let standing = history.standing();
        let all = steps(&whole(standing));
        assert_eq!(next(&all), None);
        let hidden = all.iter().filter(|step| step.seen == Seen::Hidden);
        let hidden: Vec<_> = hidden.map(|step| step.what.as_str()).collect();
        assert_eq!(
            hidden,
            [
                "each approval key is with its person alone",
                "beta trusts it",
                "gamma trusts it"
            ]
        );
        let ask = |facts: &Facts<'_>| {
            let steps = steps(facts);
            let step = next(&steps).unwrap();
            (step.what.clone(), step.commands.clone())
        };
        let mut facts = whole(standing);
        facts.keys[2] = Err("none".to_owned());
        let (what, commands) = ask(&facts);
        assert!(what.starts_with("a authorization key is active"), "{what}");
        assert!(commands[0].contains("keys create --purpose authorization"));
        let mut facts = whole(standing);
        facts.crls[1] = Err("none".to_owned());
        assert_eq!(ask(&facts).0, "the CRL of its signing-ca is in force");
        let mut facts = whole(standing);
        facts.callers[3].clear();
        let (what, commands) = ask(&facts);
        assert_eq!(what, "it has a caller in the role auditor");
        assert_eq!(commands[0], "semopsctl callers show --out callers-2.toml");
        let mut facts = whole(standing);
        facts.trusted.clear();
        let (what, commands) = ask(&facts);
        assert_eq!(what, "it trusts beta");
        assert!(commands[0].contains("trust next --of beta --add beta-chain.pem"));
        let mut facts = whole(standing);
        facts.payees.clear();
        assert_eq!(ask(&facts).0, "its policy lets its customers pay");
    }

    #[test]
    fn an_institution_that_is_not_served_has_one_step() {
        let steps = not_served();
        assert!(steps.len() == 1 && next(&steps).unwrap().commands.len() == 1);
    }
}
