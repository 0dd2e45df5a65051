//! A rotation: a key made in the token, its certificate, and the change that takes it up.

use std::{fs, ops::ControlFlow, path::Path, time::Duration};

use e2e::{
    custodian::Motion,
    deployment::{Deployment, unix_now},
    failure::Failure,
    programs::{self, Watched},
    until::until,
};
use semops_objects::{
    change::{Attachment, AttachmentKind, Operation, Rotation},
    key::{KeyId, Purpose},
};
use semops_pki::certificate::Certificate;
use semops_proto::{client::Client, v1};
use softhsm_setup::{Edge, certify};
use uuid::Uuid;

use super::SOON;

/// The word of the RPC for a purpose.
pub(crate) fn purpose(purpose: Purpose) -> v1::KeyPurpose {
    match purpose {
        Purpose::DeviceCa => v1::KeyPurpose::DeviceCa,
        Purpose::SigningCa => v1::KeyPurpose::SigningCa,
        Purpose::Authorization => v1::KeyPurpose::Authorization,
        Purpose::Ocsp => v1::KeyPurpose::Ocsp,
        Purpose::Audit => v1::KeyPurpose::Audit,
        Purpose::Statement => v1::KeyPurpose::Statement,
    }
}

/// The key of the purpose that is shown as active.
pub(crate) async fn signing_key(custodian: &Client, of: Purpose) -> Result<KeyId, Failure> {
    let keys = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
    let mut active = keys
        .into_iter()
        .filter(|key| key.purpose() == purpose(of) && key.state() == v1::KeyState::Active);
    let key = active
        .next()
        .ok_or_else(|| Failure::new("no key is active"))?;
    Ok(key.key_id.parse()?)
}

/// A key that nothing uses yet.
pub(crate) struct NewKey {
    pub(crate) id: KeyId,
    pub(crate) certificate: Certificate,
}

impl NewKey {
    /// Made in the token, and certified: a CA's by the root whose key is brought back for that.
    pub(crate) async fn certified(
        deployment: &Deployment,
        custodian: &Client,
        of: Purpose,
    ) -> Result<Self, Failure> {
        let request = Uuid::new_v4();
        let key = Self::asked(custodian, of, request).await?;
        Self::with_certificate(deployment, &key)
    }

    /// Made for a request that may have been made before.
    pub(crate) async fn asked(
        custodian: &Client,
        of: Purpose,
        request: Uuid,
    ) -> Result<v1::Key, Failure> {
        let ask = v1::CreateKeyRequest {
            purpose: purpose(of).into(),
            request_id: request.to_string(),
            token: String::new(),
        };
        let key = custodian.create_key(ask).await?.key.unwrap_or_default();
        assert_eq!(key.state(), v1::KeyState::PreActivation);
        Ok(key)
    }

    /// The key with its certificate, which is made if it has none.
    pub(crate) fn with_certificate(
        deployment: &Deployment,
        key: &v1::Key,
    ) -> Result<Self, Failure> {
        let certificate = match key.certificate_chain.first() {
            Some(der) => Certificate::from_der(der)?,
            None => by_root(deployment, key)?,
        };
        Ok(Self {
            id: key.key_id.parse()?,
            certificate,
        })
    }
}

/// What the offline root makes of a key's request.
fn by_root(deployment: &Deployment, key: &v1::Key) -> Result<Certificate, Failure> {
    let folder = tempfile::tempdir()?;
    let request = folder.path().join("request.der");
    fs::write(&request, &key.certification_request)?;
    certified(deployment, &request)
}

/// What the offline root makes of the request in a file.
pub(crate) fn certified(deployment: &Deployment, request: &Path) -> Result<Certificate, Failure> {
    let edge = Edge {
        program: programs::ours(Watched::No)?.softhsm_setup.clone(),
        signer: None,
        now: unix_now()?,
    };
    let directory = deployment.directory().path();
    let go_on = &mut |_: &str| ControlFlow::Continue(());
    let certified = certify(directory, request, &edge, go_on)?;
    Ok(Certificate::from_pem(&fs::read_to_string(certified.path)?)?)
}

/// From which key to which, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Whose keys they are.
    pub(crate) institution: &'static str,
    pub(crate) from: KeyId,
    pub(crate) to: KeyId,
    pub(crate) activate_at: u64,
    pub(crate) retire_at: u64,
}

impl Plan {
    /// The new key begins after `lead`, and the old one ends after `overlap` more.
    pub(crate) fn of(
        institution: &'static str,
        from: KeyId,
        new: &NewKey,
        lead: Duration,
        overlap: Duration,
    ) -> Result<Self, Failure> {
        let activate_at = u64::try_from(unix_now()?)? + lead.as_secs();
        Ok(Self {
            institution,
            from,
            to: new.id,
            activate_at,
            retire_at: activate_at + overlap.as_secs(),
        })
    }

    /// The change.
    pub(crate) fn motion(&self, deployment: &Deployment, new: &NewKey) -> Result<Motion, Failure> {
        let rotation = Rotation {
            from: self.from,
            to: self.to,
            certificate: new.certificate.sha256(),
            activate_at: self.activate_at,
            retire_at: self.retire_at,
        };
        let mut motion = deployment.motion(self.institution, Operation::RotateKey(rotation))?;
        motion.attachments.push(Attachment {
            kind: AttachmentKind::Certificate,
            content: new.certificate.to_pem(),
        });
        Ok(motion)
    }

    /// The key that signs what is begun at some moment from `asked` on and until `answered`, if that is the same throughout.
    pub(crate) fn signer(&self, asked: u64, answered: u64) -> Option<KeyId> {
        match self.activate_at {
            activate_at if answered < activate_at => Some(self.from),
            activate_at if activate_at <= asked => Some(self.to),
            _ => None,
        }
    }

    /// Has two custodians approve it, beside the running services.
    pub(crate) fn execute(&self, deployment: &Deployment, new: &NewKey) -> Result<(), Failure> {
        let motion = self.motion(deployment, new)?;
        deployment.bring(&motion).map(drop)
    }

    /// Has a custodian see the moments of both keys.
    pub(crate) async fn shown_to(&self, custodian: &Client) -> Result<(), Failure> {
        let keys = custodian.list_keys(v1::ListKeysRequest {}).await?.keys;
        let moments = |id: KeyId| {
            let key = keys.iter().find(|key| key.key_id == id.to_string());
            key.map(|key| (key.activates_at, key.retires_at))
        };
        let (activate_at, retire_at) = (self.activate_at.try_into()?, self.retire_at.try_into()?);
        assert_eq!(moments(self.from), Some((None, Some(retire_at))));
        assert_eq!(moments(self.to), Some((Some(activate_at), None)));
        Ok(())
    }

    /// Waits until the old key has ended.
    pub(crate) async fn retired(&self) -> Result<(), Failure> {
        until("the end of the old key", SOON, async || {
            let over = u64::try_from(unix_now()?)? > self.retire_at;
            Ok(over.then_some(()))
        })
        .await
    }
}
