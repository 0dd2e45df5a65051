//! Owns what the program tells: steps, results, and what to do next; for people, or as JSON.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use semops_objects::institution::InstitutionId;
use serde::Serialize;
use softhsm_setup::directory::Directory;
use softhsm_setup::scheme::{Institution, Register, Scheme};
use softhsm_setup::{Added, AddedToken, CertifiedCa, ChangedPin, Measured};

/// How results are told.
pub(crate) struct Told {
    pub(crate) json: bool,
}

#[derive(Serialize)]
struct Member {
    id: String,
    profiles: Vec<PathBuf>,
    approval_keys: Vec<PathBuf>,
    ceremony: PathBuf,
}

#[derive(Serialize)]
struct Founded {
    approval_keys: Vec<PathBuf>,
    ceremony: PathBuf,
}

impl Founded {
    fn new(directory: &Directory, scheme: &Scheme) -> Self {
        let id = InstitutionId::of_scheme();
        Self {
            approval_keys: approval_keys(directory, &id, scheme.register()),
            ceremony: directory.ceremony(&id),
        }
    }
}

fn approval_keys(directory: &Directory, id: &InstitutionId, register: &Register) -> Vec<PathBuf> {
    let persons = register.custodians().iter();
    persons
        .map(|person| directory.approval_key(id, person))
        .collect()
}

impl Member {
    fn new(directory: &Directory, institution: &Institution) -> Self {
        let id = institution.id();
        let callers = institution.callers().iter();
        Self {
            id: id.to_string(),
            profiles: callers
                .map(|caller| directory.caller(id, caller.role(), caller.name()).profile)
                .collect(),
            approval_keys: approval_keys(directory, id, institution.register()),
            ceremony: directory.ceremony(id),
        }
    }
}

#[derive(Serialize)]
struct Initialised {
    directory: PathBuf,
    config: PathBuf,
    recorded: bool,
    scheme: Founded,
    institutions: Vec<Member>,
}

#[derive(Serialize)]
struct Joined {
    directory: PathBuf,
    config: PathBuf,
    recorded: bool,
    institution: Member,
    trust_documents: Vec<NextDocument>,
    stale_crls: Vec<String>,
}

#[derive(Serialize)]
struct NextDocument {
    institution: String,
    version: u64,
    file: PathBuf,
}

#[derive(Serialize)]
struct Certificate<'a> {
    institution: &'a InstitutionId,
    hierarchy: &'static str,
    certificate: &'a Path,
}

#[derive(Serialize)]
struct PinChanged<'a> {
    institution: &'a InstitutionId,
    token: &'a str,
    pin_file: &'a Path,
}

#[derive(Serialize)]
struct Token<'a> {
    institution: &'a InstitutionId,
    token: &'a InstitutionId,
    pin_file: &'a Path,
}

#[derive(Serialize)]
struct Rate {
    signatures: u64,
    seconds: f64,
    per_second: f64,
    threads: u32,
}

impl Told {
    /// Tells a step, and whether the ceremony shall end there.
    pub(crate) fn step(&self, step: &str, stop: &AtomicBool) -> ControlFlow<()> {
        if self.json {
            eprintln!("{step}");
        } else {
            say(step);
        }
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// A scheme was set up.
    pub(crate) fn initialised(&self, scheme: &Scheme, made: &Directory, recorded: bool) {
        if self.json {
            return say_json(&Initialised {
                directory: made.path().to_owned(),
                config: made.config(),
                recorded,
                scheme: Founded::new(made, scheme),
                institutions: scheme
                    .institutions()
                    .iter()
                    .map(|institution| Member::new(made, institution))
                    .collect(),
            });
        }
        say(&format!(
            "\nNext, take {} to a safe place, hand each key in {} to its person and keep none here, then:",
            made.offline().display(),
            made.custodians_folder().display()
        ));
        let signer = signer(made);
        if !recorded {
            say(&format!("{signer} migrate"));
            for institution in scheme.institutions() {
                load(made, institution);
            }
        }
        say(&signer);
    }

    /// A CA was certified.
    pub(crate) fn certified(&self, certified: &CertifiedCa) {
        let (hierarchy, path) = (certified.hierarchy.as_str(), &certified.path);
        if self.json {
            return say_json(&Certificate {
                institution: &certified.institution,
                hierarchy,
                certificate: path,
            });
        }
        say(&format!(
            "\nNext, take the root's key away again. The certificate, {}, is public: the custodians of {} propose the \
             rotation to this CA with it.",
            path.display(),
            certified.institution
        ));
    }

    /// A token was made.
    pub(crate) fn token_added(&self, added: &AddedToken) {
        let (institution, label) = (&added.institution, &added.label);
        if self.json {
            return say_json(&Token {
                institution,
                token: label,
                pin_file: &added.pin_file,
            });
        }
        say(&format!(
            "\nNext, start the signer again: it takes up the token then. A custodian of {institution} has keys made in it: \
             semopsctl keys create --token {label}"
        ));
    }

    /// An institution was added.
    pub(crate) fn added(&self, added: &Added, recorded: bool) {
        let directory = &added.directory;
        let institution = added.newcomer.institution();
        if self.json {
            let next = added.trust_documents.iter().map(|next| NextDocument {
                institution: next.institution.to_string(),
                version: next.version,
                file: next.path.clone(),
            });
            return say_json(&Joined {
                directory: directory.path().to_owned(),
                config: directory.config(),
                recorded,
                institution: Member::new(directory, institution),
                trust_documents: next.collect(),
                stale_crls: added.stale.iter().map(ToString::to_string).collect(),
            });
        }
        say(&format!(
            "\nNext, take {} away again, hand each key in {} to its person and keep none here, then:",
            directory.offline().display(),
            directory.approval_keys(institution.id()).display()
        ));
        if !recorded {
            load(directory, institution);
        }
        say_rest(institution.id(), added);
    }
    /// The PIN of a token was changed.
    pub(crate) fn pin_changed(&self, institution: &InstitutionId, changed: &ChangedPin) {
        let (token, pin_file) = (&changed.token, &changed.pin_file);
        if self.json {
            return say_json(&PinChanged {
                institution,
                token,
                pin_file,
            });
        }
        say(&format!(
            "the token {token} of {institution} has a new PIN, which stands in {}\n\nNext, have each running signer take it:\nkill -HUP PID   (systemctl reload signer)",
            pin_file.display()
        ));
    }

    /// A token was measured.
    pub(crate) fn measured(&self, measured: &Measured) {
        let seconds = measured.elapsed.as_secs_f64();
        // Counts far below 2^32 are exact as a float.
        let signatures = f64::from(u32::try_from(measured.signatures).unwrap_or(u32::MAX));
        let per_second = signatures / seconds;
        let threads = measured.threads;
        if self.json {
            return say_json(&Rate {
                signatures: measured.signatures,
                seconds,
                per_second,
                threads,
            });
        }
        say(&format!(
            "{per_second:.0} signatures a second: {} in {seconds:.2} s, {threads} thread(s)",
            measured.signatures
        ));
    }
}

/// What nobody can do but those who run the service and rule the institutions.
fn say_rest(newcomer: &InstitutionId, added: &Added) {
    say(&format!(
        "  restart the signer: it drains, and finds the token of {newcomer}"
    ));
    for next in &added.trust_documents {
        let file = next.path.display();
        say(&format!(
            "Custodians of {} let {newcomer} be trusted there: one proposes it, the others approve the id that is printed:\n  \
             semopsctl --profile PROFILE change propose trust {file} --approval-key KEY\n  \
             semopsctl --profile PROFILE change approve ID --approval-key KEY",
            next.institution
        ));
    }
    say(&format!(
        "Whoever shall pay payees at {newcomer}, or accept its phones, names it in the next version of its policy\n\
         (payees, device_issuers)."
    ));
    for stale in &added.stale {
        say(&format!(
            "The CRL of {stale} in the trust document of {newcomer} has run out: propose a version with a fresh one."
        ));
    }
}

/// Has the operator load the ceremony of an institution.
fn load(directory: &Directory, institution: &Institution) {
    say(&format!(
        "{} change load {}",
        signer(directory),
        directory.ceremony(institution.id()).display()
    ));
}

fn signer(directory: &Directory) -> String {
    format!("  signer --config {}", directory.config().display())
}

/// Prints a line; a reader that went away does not stop a ceremony half-way.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

pub(crate) fn say_json(result: &impl Serialize) {
    // Structures of strings, numbers and paths; a path of a directory is UTF-8, or it would have been refused.
    say(&serde_json::to_string(result).unwrap_or_default());
}
