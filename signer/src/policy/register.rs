//! Owns the register of an institution's callers: who may call for it, and the TLS CA that says so.

use std::collections::HashMap;

use semops_objects::institution::InstitutionId;
use semops_pki::certificate::Certificate;
use serde::Deserialize;

use crate::domain::actor::SpiffeId;

/// Whether a caller may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallerState {
    /// It may.
    Active,
    /// It may not, for now.
    Disabled,
}

/// One version of an institution's register.
#[derive(Debug)]
pub struct Register {
    institution: InstitutionId,
    version: u64,
    tls_ca: Certificate,
    callers: HashMap<SpiffeId, CallerState>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    institution: InstitutionId,
    version: u64,
    tls_ca: String,
    #[serde(default)]
    caller: Vec<CallerForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallerForm {
    id: String,
    state: CallerState,
}

/// Why a document is no register.
#[derive(Debug, thiserror::Error)]
pub enum RegisterMistake {
    /// Its form is wrong.
    #[error("the register is not accepted: {0}")]
    Form(String),
    /// The TLS CA cannot be used.
    #[error("tls_ca: {0}")]
    TlsCa(String),
    /// A caller's id is wrong.
    #[error("caller {id:?}: {why}")]
    Caller {
        /// The id.
        id: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Register {
    /// Reads and checks a callers document (TOML).
    pub fn parse(bytes: &[u8]) -> Result<Self, RegisterMistake> {
        let form: Form =
            toml::from_slice(bytes).map_err(|e| RegisterMistake::Form(e.to_string()))?;
        let tls_ca = tls_ca(&form)?;
        if form.version == 0 {
            return Err(RegisterMistake::Form(
                "version = 0: versions begin with 1".into(),
            ));
        }
        let mut callers = HashMap::new();
        for CallerForm { id, state } in form.caller {
            let mistake = |why: &str| RegisterMistake::Caller {
                id: id.clone(),
                why: why.into(),
            };
            let spiffe: SpiffeId = id.parse().map_err(|e| mistake(&format!("{e}")))?;
            if *spiffe.institution() != form.institution {
                return Err(mistake("it names another institution"));
            }
            if callers.insert(spiffe, state).is_some() {
                return Err(mistake("it stands there twice"));
            }
        }
        Ok(Self {
            institution: form.institution,
            version: form.version,
            tls_ca,
            callers,
        })
    }

    /// Whose callers these are.
    pub fn institution(&self) -> &InstitutionId {
        &self.institution
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The CA that issues the institution's TLS certificates; no other counts.
    pub fn tls_ca(&self) -> &Certificate {
        &self.tls_ca
    }

    /// The state of a caller; none when it is not registered.
    pub fn state(&self, id: &SpiffeId) -> Option<CallerState> {
        self.callers.get(id).copied()
    }
}

fn tls_ca(form: &Form) -> Result<Certificate, RegisterMistake> {
    let mistake = |why: String| RegisterMistake::TlsCa(why);
    let certificate = Certificate::from_pem(&form.tls_ca).map_err(|e| mistake(e.to_string()))?;
    if !certificate.is_ca() {
        return Err(mistake("it is no CA certificate".into()));
    }
    if certificate.subject_organization() != Some(form.institution.as_str()) {
        return Err(mistake(format!("its O is not {}", form.institution)));
    }
    Ok(certificate)
}
