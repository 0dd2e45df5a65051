//! Owns the list of what a key has signed: for each object what others know it by, and not the object itself.

use semops_objects::authorization::AuthorizationJws;
use semops_pki::{algorithm::sha256, certificate::Certificate, crl::CertificateRevocationList};

use crate::{
    authority::{Authority, Context},
    clock::Timestamp,
    domain::{device::DeviceId, key::KeyId, operation::Kind},
    error::{Error, Reason},
    store::{SignedPlace, SignedQuery, SignedRow},
};

/// One page of what a key has signed.
#[derive(Clone, Debug)]
pub struct SignedObjects {
    /// The objects, in the order of their signatures.
    pub objects: Vec<SignedShown>,
    /// Behind which place the list goes on; nothing at its end.
    pub next: Option<SignedPlace>,
    /// Whether it holds everything, and nothing can come while the key stays as it is.
    pub complete: bool,
    /// How many it has begun and not ended.
    pub under_way: u64,
    /// How many of its signatures are not kept any longer.
    pub not_kept: u64,
}

/// A signed object, as its institution's custodians see it.
#[derive(Clone, Debug)]
pub struct SignedShown {
    /// What it is.
    pub kind: Kind,
    /// What others know it by.
    pub id: String,
    /// The object id in its audit events.
    pub audit_object: String,
    /// The device that it concerns.
    pub device: Option<DeviceId>,
    /// When it was signed.
    pub at: Timestamp,
    /// When it counts no more.
    pub expires_at: Option<Timestamp>,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Whether it is the certificate of a device, and neither revoked nor replaced.
    pub in_force: bool,
}

impl Authority {
    /// Shows what a key of the caller's institution has signed since a time, behind `after`, at most `at_most` objects.
    pub async fn list_signed(
        &self,
        ctx: &Context,
        (key, since): (KeyId, Timestamp),
        after: Option<SignedPlace>,
        at_most: usize,
    ) -> Result<SignedObjects, Error> {
        let query = SignedQuery {
            key,
            since,
            after,
            at_most,
            now: self.clock.now(),
        };
        let page = self.store.signed(&ctx.institution, query).await?;
        let page = page.ok_or(Error::NotFound(Reason::KeyNotFound))?;
        ctx.still(page.generation)?;
        let objects = page.objects.into_iter().map(shown);
        Ok(SignedObjects {
            objects: objects.collect::<Result<_, _>>()?,
            next: page.next,
            complete: page.complete,
            under_way: page.under_way,
            not_kept: page.not_kept,
        })
    }
}

fn shown(row: SignedRow) -> Result<SignedShown, Error> {
    let der = &row.artifact;
    let (id, expires_at) = match row.kind {
        Kind::Authorization => {
            let compact = str::from_utf8(der).map_err(Error::internal)?;
            let jws = AuthorizationJws::parse(compact).map_err(Error::internal)?;
            let authorization = jws.authorization();
            let exp = i64::try_from(authorization.exp).map_err(Error::internal)?;
            (authorization.jti.to_string(), Some(exp))
        }
        Kind::DeviceCertificate | Kind::AuthorizationCertificate | Kind::KeyCertificate => {
            let certificate = Certificate::from_der(der).map_err(Error::internal)?;
            (row.object.clone(), Some(certificate.not_after()))
        }
        Kind::Crl => {
            let crl = CertificateRevocationList::from_der(der).map_err(Error::internal)?;
            (row.object.clone(), Some(crl.next_update()))
        }
        Kind::CertificationRequest => (row.object.clone(), None),
    };
    Ok(SignedShown {
        kind: row.kind,
        id,
        audit_object: row.object,
        device: row.device,
        at: row.place.at,
        expires_at: expires_at.map(Timestamp::from_seconds),
        sha256: sha256(der),
        in_force: row.in_force,
    })
}
