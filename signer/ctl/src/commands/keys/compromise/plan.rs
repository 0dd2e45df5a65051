//! What there is to do when others may know a key, how far it has come, and who does what comes next. Pure.

use semops_objects::{
    change::ChangeId,
    key::{KeyState, Purpose},
};

/// What the plan is made of.
pub(super) struct Facts {
    pub(super) purpose: Purpose,
    pub(super) state: KeyState,
    /// Whether everything that it signed is listed.
    pub(super) complete: bool,
    /// Whether the key that comes next is made.
    pub(super) made: bool,
    /// The request that the offline root has not answered yet, and where its answer goes.
    pub(super) request: Option<(String, String)>,
    /// The rotation that waits for approvals.
    pub(super) rotation: Option<ChangeId>,
    /// Whether another key signs.
    pub(super) replaced: bool,
    pub(super) devices_left: u64,
    /// The keys that still sign with a certificate by it, and the rotation of one of them that waits for approvals.
    pub(super) keys_left: usize,
    pub(super) key_rotation: Option<ChangeId>,
    /// The change that says for ever that others may know it, waiting for approvals.
    pub(super) mark: Option<ChangeId>,
}

/// The steps.
pub(super) struct Plan {
    purpose: Purpose,
    pub(super) steps: Vec<Step>,
}

pub(super) struct Step {
    pub(super) what: &'static str,
    pub(super) done: bool,
    pub(super) who: String,
}

const AGAIN: &str = "run this command again";

impl Plan {
    pub(super) fn of(facts: &Facts) -> Self {
        let compromised = facts.state == KeyState::Compromised;
        let stopped = facts.state != KeyState::Active;
        let step = |what, done, who: String| Step { what, done, who };
        let mut steps = vec![
            step("it signs no more", stopped, AGAIN.to_owned()),
            step(
                "all that it signed is listed",
                facts.complete,
                format!(
                    "{AGAIN} when what is under way has ended, ten minutes from now at the latest"
                ),
            ),
            step(
                "the next key is made",
                facts.made || facts.rotation.is_some() || facts.replaced,
                AGAIN.to_owned(),
            ),
        ];
        if facts.purpose.is_ca() {
            let certified = facts.request.is_none() && steps.last().is_some_and(|step| step.done);
            steps.push(step("the root has certified it", certified, root(facts)));
        }
        steps.push(step(
            "another key signs",
            facts.replaced,
            approve(facts.rotation),
        ));
        steps.extend(depending(facts));
        steps.push(step(
            "marked as compromised",
            compromised,
            approve(facts.mark),
        ));
        Self {
            purpose: facts.purpose,
            steps,
        }
    }

    /// Of each step; the first that is not done is the next one.
    pub(super) fn states(&self) -> Vec<&'static str> {
        let done = self.steps.iter().take_while(|step| step.done).count();
        let state = |(place, step): (usize, &Step)| match (step.done, place == done) {
            (true, _) => "done",
            (false, true) => "next",
            (false, false) => "later",
        };
        self.steps.iter().enumerate().map(state).collect()
    }

    pub(super) fn next(&self) -> Option<&Step> {
        self.steps.iter().find(|step| !step.done)
    }

    /// What is left to others once everything here is done.
    pub(super) fn afterwards(&self) -> &'static str {
        match self.purpose {
            Purpose::Authorization => {
                "whoever trusts your institution takes the certificate out of its trust document; nothing that the key signed \
                 may be accepted later than 10 minutes after it: what was, and is in the list, is compared with your books"
            }
            Purpose::DeviceCa => {
                "the holder of the device root revokes the CA's certificate (softhsm-setup root-crl DIR --revoke CERTIFICATE \
                 --reason cACompromise); each MNO hands its phones their new certificates (GetDevice)"
            }
            Purpose::SigningCa => {
                "whoever trusts your institution has the new CA and certificates in its trust document (dependents/*/chain.pem); then \
                 the holder of the signing root revokes the CA's certificate (softhsm-setup root-crl DIR --revoke CERTIFICATE \
                 --reason cACompromise)"
            }
            Purpose::Ocsp => {
                "nobody learns from its certificate that it counts no more (RFC 6960 s4.2.2.2.1): until it ends, those who ask for \
                 the status of devices take the CRLs instead"
            }
            Purpose::Audit | Purpose::Statement => {
                "those who hold what the key signed compare it with the record: nothing that it signed since proves anything by itself"
            }
        }
    }
}

/// What becomes of that which a CA has certified.
fn depending(facts: &Facts) -> Option<Step> {
    if !facts.purpose.is_ca() {
        return None;
    }
    let devices = facts.devices_left > 0;
    let done = facts.replaced && !devices && facts.keys_left == 0;
    let who = if devices {
        AGAIN.to_owned()
    } else {
        approve(facts.key_rotation)
    };
    Some(Step {
        what: "all it certified is replaced",
        done,
        who,
    })
}

fn root(facts: &Facts) -> String {
    match &facts.request {
        Some((request, certificate)) => format!(
            "whoever holds the root's key: softhsm-setup certify DIR {request}; put the certificate at {certificate}, and {AGAIN}"
        ),
        None => AGAIN.to_owned(),
    }
}

fn approve(change: Option<ChangeId>) -> String {
    match change {
        Some(id) => format!(
            "another custodian: semopsctl change approve {id} --approval-key FILE; then {AGAIN}"
        ),
        None => AGAIN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(purpose: Purpose) -> Facts {
        Facts {
            purpose,
            state: KeyState::Active,
            complete: false,
            made: false,
            request: None,
            rotation: None,
            replaced: false,
            devices_left: 0,
            keys_left: 0,
            key_rotation: None,
            mark: None,
        }
    }

    fn next(facts: &Facts) -> (usize, String) {
        let plan = Plan::of(facts);
        let done = plan
            .states()
            .iter()
            .filter(|state| **state == "done")
            .count();
        let next = plan.next().map_or(String::new(), |step| step.who.clone());
        (done, next)
    }

    #[test]
    fn each_step_has_its_turn_and_its_person() {
        let id = |octet| ChangeId::new([octet; 32]);
        let mut case = facts(Purpose::DeviceCa);
        assert_eq!(Plan::of(&case).steps.len(), 7);
        assert_eq!(next(&case).0, 0);
        case.state = KeyState::Suspended;
        assert!(next(&case).1.contains("under way"));
        (case.complete, case.made) = (true, true);
        case.request = Some(("request.pem".to_owned(), "certificate.pem".to_owned()));
        let (done, who) = next(&case);
        assert!(
            done == 3 && who.contains("certify DIR request.pem"),
            "{who}"
        );
        case.request = None;
        case.rotation = Some(id(1));
        let (done, who) = next(&case);
        assert!(done == 4 && who.contains(&id(1).to_string()), "{who}");
        (case.rotation, case.replaced) = (None, true);
        case.state = KeyState::Deactivated;
        case.devices_left = 3;
        assert_eq!(next(&case), (5, AGAIN.to_owned()));
        (case.devices_left, case.keys_left) = (0, 1);
        case.key_rotation = Some(id(3));
        let (done, who) = next(&case);
        assert!(done == 5 && who.contains(&id(3).to_string()), "{who}");
        (case.keys_left, case.key_rotation) = (0, None);
        case.mark = Some(id(2));
        let (done, who) = next(&case);
        assert!(done == 6 && who.contains(&id(2).to_string()), "{who}");
        case.state = KeyState::Compromised;
        assert_eq!(next(&case), (7, String::new()));
    }

    #[test]
    fn a_signing_ca_is_marked_once_no_key_has_a_certificate_by_it() {
        let id = ChangeId::new([3; 32]);
        let mut case = facts(Purpose::SigningCa);
        (case.state, case.complete) = (KeyState::Deactivated, true);
        (case.replaced, case.keys_left) = (true, 1);
        (case.made, case.key_rotation) = (true, Some(id));
        let (done, who) = next(&case);
        assert!(done == 5 && who.contains(&id.to_string()), "{done} {who}");
        (case.keys_left, case.key_rotation) = (0, None);
        assert_eq!(next(&case), (6, AGAIN.to_owned()));
        case.state = KeyState::Compromised;
        assert_eq!(next(&case).0, 7);
    }

    #[test]
    fn a_key_that_is_no_cas_needs_no_root_and_no_device() {
        for (purpose, afterwards) in [
            (Purpose::Authorization, "10 minutes"),
            (Purpose::Ocsp, "RFC 6960"),
            (Purpose::Audit, "the record"),
            (Purpose::Statement, "the record"),
        ] {
            let case = facts(purpose);
            let steps: Vec<_> = Plan::of(&case).steps.iter().map(|step| step.what).collect();
            assert_eq!(
                steps,
                [
                    "it signs no more",
                    "all that it signed is listed",
                    "the next key is made",
                    "another key signs",
                    "marked as compromised"
                ]
            );
            assert!(Plan::of(&case).afterwards().contains(afterwards));
        }
    }
}
