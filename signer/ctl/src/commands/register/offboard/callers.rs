//! The register of callers in which nobody pays and nobody enrols any more: the text of the one in force, with another
//! state where that is wanted. Pure.

use serde::Deserialize;
use toml::Spanned;

use crate::commands::trust::edit::edited;

/// Who calls for payments and for enrolment.
const ROLES: [&str; 2] = ["payments", "enrolment"];

/// What is read of a register, with where it stands.
#[derive(Deserialize)]
struct Document {
    version: Spanned<u64>,
    #[serde(default)]
    caller: Vec<Caller>,
}

#[derive(Deserialize)]
struct Caller {
    id: String,
    state: Spanned<String>,
}

impl Caller {
    fn role(&self) -> &str {
        self.id.rsplit('/').nth(1).unwrap_or_default()
    }

    fn is_to_go(&self) -> bool {
        self.state.get_ref() == "active" && ROLES.contains(&self.role())
    }
}

/// Those who still may call in these roles.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::commands::register) struct Calling {
    /// Their SPIFFE ids.
    pub(in crate::commands::register) ids: Vec<String>,
    /// The next version, in which they are disabled.
    pub(in crate::commands::register) version: u64,
    /// Its text.
    pub(in crate::commands::register) next: String,
}

impl Calling {
    /// Of the register in force.
    ///
    /// # Errors
    /// It is none.
    pub(in crate::commands::register) fn of(text: &str) -> Result<Self, String> {
        let document: Document =
            toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let version = document.version.get_ref().saturating_add(1);
        let mut edits = vec![(document.version.span(), version.to_string())];
        let mut ids = Vec::new();
        for caller in document.caller.iter().filter(|caller| caller.is_to_go()) {
            ids.push(caller.id.clone());
            edits.push((caller.state.span(), "\"disabled\"".to_owned()));
        }
        Ok(Self {
            ids,
            version,
            next: edited(text, edits)?,
        })
    }

    /// Whether somebody could revoke a device.
    pub(in crate::commands::register) fn enrols(&self) -> bool {
        self.ids.iter().any(|id| id.contains("/enrolment/"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const TEXT: &str = "institution = \"alfa\" # of us\nversion = 3\n\n[[caller]]\nid = \"spiffe://s/alfa/payments/backend\"\nstate = \"active\"\n\n\
        [[caller]]\nid = \"spiffe://s/alfa/enrolment/ra\"\nstate = 'active' # of the shop\n\n\
        [[caller]]\nid = \"spiffe://s/alfa/enrolment/old\"\nstate = \"disabled\"\n\n\
        [[caller]]\nid = \"spiffe://s/alfa/custodian/security\"\nstate = \"active\"\n";

    #[test]
    fn who_pays_and_who_enrols_goes_and_the_rest_stays() {
        let calling = Calling::of(TEXT).unwrap();
        assert_eq!(calling.version, 4);
        assert_eq!(
            calling.ids,
            [
                "spiffe://s/alfa/payments/backend",
                "spiffe://s/alfa/enrolment/ra"
            ]
        );
        assert!(calling.enrols());
        let by_hand = TEXT
            .replace("version = 3", "version = 4")
            .replace(
                "backend\"\nstate = \"active\"",
                "backend\"\nstate = \"disabled\"",
            )
            .replace("'active' # of", "\"disabled\" # of");
        assert_eq!(calling.next, by_hand);
        let over = Calling::of(&calling.next).unwrap();
        assert!(over.ids.is_empty() && !over.enrols());
        assert!(Calling::of("version = 1\n[[caller]]\nid = 1\n").is_err());
    }
}
