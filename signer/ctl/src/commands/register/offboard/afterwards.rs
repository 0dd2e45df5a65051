//! What is left to others, once an institution that leaves has no key any more. Pure.

use serde_json::{Value, json};

/// What somebody does.
pub(super) struct Afterwards {
    pub(super) who: &'static str,
    pub(super) what: String,
    pub(super) commands: Vec<String>,
}

impl Afterwards {
    pub(super) fn json(&self) -> Value {
        json!({"who": self.who, "what": self.what, "commands": self.commands})
    }
}

/// For the institution, whose keys were in these tokens; `cas` are the files of its CAs' certificates.
pub(super) fn of(institution: &str, tokens: &[String], cas: &[String]) -> Vec<Afterwards> {
    let delete = |token: &String| format!("softhsm2-util --delete-token --token {token}");
    let mut operator = vec!["signer --config signer.toml --check-config".to_owned()];
    operator.extend(tokens.iter().map(delete));
    let revoke = |ca: &String| {
        format!("softhsm-setup root-crl . --revoke {ca} --reason cessationOfOperation")
    };
    vec![
        Afterwards {
            who: "the operator of the service",
            what: format!(
                "takes the [[institution]] table of {institution} out of signer.toml, restarts the service, and removes the empty \
                 tokens (of SoftHSM so, of another HSM with its own program) and the files with their PINs"
            ),
            commands: operator,
        },
        Afterwards {
            who: "custodians of every institution that trusts it",
            what: format!(
                "take the [[trusted]] table of {institution} out of their trust document, which gets the next version"
            ),
            commands: vec![
                "semopsctl trust show --out TRUST".to_owned(),
                "semopsctl change propose trust TRUST --approval-key FILE".to_owned(),
            ],
        },
        Afterwards {
            who: "whoever holds the offline roots",
            what: "revokes the certificate of each of its CAs (RFC 5280 s5.3.1)".to_owned(),
            commands: cas.iter().map(revoke).collect(),
        },
    ]
}
