//! What is read of a register of callers.

use serde::Deserialize;

/// The register, as far as it is looked at.
#[derive(Deserialize)]
pub(super) struct Callers {
    pub(super) tls_ca: String,
    #[serde(default)]
    pub(super) caller: Vec<Caller>,
}

/// One of them.
#[derive(Deserialize)]
pub(super) struct Caller {
    pub(super) id: String,
    pub(super) state: String,
}

impl Caller {
    /// The part of its id before the last.
    pub(super) fn role(&self) -> &str {
        self.id.rsplit('/').nth(1).unwrap_or_default()
    }
}

impl Callers {
    /// Those who may call in a role.
    pub(super) fn active(&self, role: &str) -> Vec<String> {
        let of = |caller: &&Caller| caller.state == "active" && caller.role() == role;
        let callers = self.caller.iter().filter(of);
        callers.map(|caller| caller.id.clone()).collect()
    }
}
