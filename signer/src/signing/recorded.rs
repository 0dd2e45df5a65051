//! Owns `sign_once`, the one waist between a decision and a key.

use std::time::Instant;

use semops_objects::jws;
use semops_pki::{algorithm::Signature, signed::assemble};

use crate::{
    clock::{Clock, Timestamp},
    domain::{
        actor::Origin,
        audit::{Event, Resulted},
        key::{KeyId, KeyRecord},
        keyring::Keyring,
        operation::{IntentId, Kind, Operation},
        outcome::{Ending, Outcome},
        reason::Reason,
    },
    fault::{self, Point},
    hsm::{HsmError, Signer},
    metrics::{Failing, Metrics, Stage},
    signing::Draft,
    store::{Begun, Completion, Intent, Limit, Refusal, StoreError, group::Group},
};

/// Why nothing was signed. The intent, where one was recorded, is resumed by a retry or closed by the sweep.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// Other content stands under the same idempotency key.
    #[error("other content stands under the same idempotency key")]
    Conflict,
    /// A limit that the record keeps.
    #[error("a limit kept by the record would be passed: {0:?}")]
    OverLimit(Limit),
    /// The record does not allow it.
    #[error("the record does not allow it: {0:?}")]
    Refused(Refusal),
    /// The store could not record it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token could not sign it.
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// The token of the key did not sign in its share of the time, and another key could: nothing has ended.
    #[error("the intent is left to another key: {cause}")]
    TokenFailed {
        /// Which intent.
        intent: IntentId,
        /// Why it is not signed.
        cause: Box<Self>,
        /// The word for that.
        why: Failing,
    },
    /// The token's answer does not verify with the public key; it was thrown away.
    #[error("the token's signature with key {0} does not verify")]
    FaultySignature(KeyId),
}

/// How long a signature is waited for, and after whom.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The request's end.
    pub deadline: Instant,
    /// The end of a token's share of the time, where a key in another one could sign as well. An intent that it has not
    /// signed by then does not wait for it.
    pub share: Instant,
    /// Whether there is such a key beside that of the draft.
    pub another: bool,
    /// Why the token before did not sign, where the draft stands in the place of an intent of its key.
    pub after: Option<Failing>,
}

impl Patience {
    /// For a token beside which there is another, or not.
    fn end(self, another: bool) -> Instant {
        if another { self.share } else { self.deadline }
    }
}

impl From<Instant> for Patience {
    fn from(deadline: Instant) -> Self {
        Self {
            deadline,
            share: deadline,
            another: false,
            after: None,
        }
    }
}

/// The record and the token, joined so that neither is used for a signature without the other.
pub struct RecordedSigner {
    record: Group,
    hsm: Signer,
    clock: Clock,
    metrics: Metrics,
}

impl RecordedSigner {
    /// Joins them.
    pub fn new(record: Group, hsm: Signer, clock: Clock, metrics: Metrics) -> Self {
        Self {
            record,
            hsm,
            clock,
            metrics,
        }
    }

    /// Records the draft, signs the recorded bytes, verifies, records the result. However often and from wherever it is
    /// called with the same content, one outcome is stored, and that one is returned. An intent that was recorded before
    /// is signed with the key that is named in it, if that is on the keyring, or not at all.
    ///
    /// A crash before `begin` commits: nothing happened. Between `begin` and `complete`: a retry resumes the stored
    /// bytes, or the sweep closes the intent. After `complete`: the retry gets the stored outcome.
    ///
    /// Where another key could sign as well and the token fails, an authorization that was recorded now is left for its row
    /// to go over to that key ([`SigningError::TokenFailed`]); every other intent, and a resumed one, ends FAILED.
    pub async fn sign_once(
        &self,
        draft: Draft,
        keyring: &Keyring,
        patience: impl Into<Patience>,
    ) -> Result<Outcome, SigningError> {
        let patience = patience.into();
        let operation = draft.into_operation();
        let (drafted, former) = (operation.key, operation.instead_of);
        let origin = operation.origin.clone();
        let (kind, institution) = (operation.subject.kind(), &operation.institution);
        let flow = self.metrics.flow(kind, institution);
        let disowned = disowned(&operation);
        let begun = flow.stage(Stage::Begin, self.record.begin(operation));
        let (intent, resumed) = match begun.await? {
            Begun::Recorded(intent) => (intent, false),
            Begun::Resumed(intent) => (intent, true),
            Begun::Done(outcome) => return Ok(outcome),
            Begun::Conflict => return Err(SigningError::Conflict),
            Begun::OverLimit(limit) => return Err(SigningError::OverLimit(limit)),
            Begun::Refused(refusal) => return Err(SigningError::Refused(refusal)),
        };
        let former = former.filter(|_| !resumed);
        let former = former.and_then(|former| keyring.get(former.key));
        self.failed_over(former.map(|key| key.record().as_ref()), patience.after);
        let key = match self.key_of(&intent, resumed, keyring) {
            Ok(key) => key,
            Err(reason) => {
                let ending = Ending::Failed(reason.name());
                return self.end(&intent, origin, ending).await;
            }
        };
        // One that was recorded for another key than would sign it now has that one beside it.
        let another = patience.another || intent.id.key != drafted;
        let [recorded, signature, completed] = points(kind);
        fault::point(recorded);
        let signed = flow.stage(Stage::Sign, self.sign(&intent, key, patience.end(another)));
        let signed = signed.await;
        let why = signed.as_ref().err().and_then(failing);
        let ending = self.ending(signed, &intent, resumed, another, disowned);
        let ending = ending.await?;
        fault::point(signature);
        let ended = self.end(&intent, origin, ending).await;
        fault::point(completed);
        let token_failed = ended.as_ref().is_ok_and(Outcome::token_failed);
        self.failed_over(Some(key), why.filter(|_| token_failed));
        ended
    }

    /// How an intent ends that the token was asked to sign.
    async fn ending(
        &self,
        signed: Result<Vec<u8>, SigningError>,
        intent: &Intent,
        resumed: bool,
        another: bool,
        disowned: Event,
    ) -> Result<Ending, SigningError> {
        match signed {
            Ok(artifact) => Ok(Ending::Signed(artifact)),
            Err(error) => {
                let error = self.unsigned(error, intent, disowned).await?;
                let moves = !resumed && intent.kind == Kind::Authorization;
                self.left(error, intent, another, moves)
            }
        }
    }

    /// Counts an intent of this key that ended because its token did not sign.
    fn failed_over(&self, key: Option<&KeyRecord>, why: Option<Failing>) {
        if let (Some(key), Some(why)) = (key, why) {
            let token = self.hsm.token_of(&key.institution, key.id);
            let token = token.unwrap_or("none");
            self.metrics
                .failed_over(&key.institution, token, key.purpose, why);
        }
    }

    /// The key named in an intent, or why it is not signed with that one. Of an intent that was recorded a moment ago it was
    /// chosen then.
    fn key_of<'k>(
        &self,
        intent: &Intent,
        resumed: bool,
        keyring: &'k Keyring,
    ) -> Result<&'k KeyRecord, Reason> {
        let now = self.clock.now();
        if resumed && intent.sign_by <= now {
            return Err(Reason::TooLate);
        }
        let key = keyring.get(intent.id.key).ok_or(Reason::KeyGone)?;
        if resumed && !key.may_sign(intent.kind, now) {
            return Err(Reason::KeyNotActive);
        }
        Ok(key.record())
    }

    /// Tells of a signature that does not verify.
    async fn unsigned(
        &self,
        error: SigningError,
        intent: &Intent,
        mut disowned: Event,
    ) -> Result<SigningError, SigningError> {
        if let SigningError::FaultySignature(key) = &error {
            let metrics = &self.metrics;
            metrics.faulty_signature(&intent.institution, intent.kind);
            disowned.key = Some(*key);
            self.audit(disowned).await?;
        }
        Ok(error)
    }

    /// What becomes of an intent that the token did not sign. Without another key most stay as they are: a retry resumes them.
    fn left(
        &self,
        error: SigningError,
        intent: &Intent,
        another: bool,
        moves: bool,
    ) -> Result<Ending, SigningError> {
        let late = matches!(error, SigningError::Hsm(HsmError::DeadlineExceeded));
        if late && intent.expires_at <= self.clock.now() {
            // Its own time has passed, not only the caller's: it ends here and not at the next sweep.
            return Ok(Ending::Failed(Reason::Overdue.name()));
        }
        match failing(&error).filter(|_| another) {
            Some(why) if moves => Err(SigningError::TokenFailed {
                intent: intent.id,
                cause: Box::new(error),
                why,
            }),
            Some(_) => Ok(Ending::Failed(Reason::TokenFailed.name())),
            None => Err(error),
        }
    }

    /// Ends a pending intent without a signature, or finds how it has ended.
    pub async fn end(
        &self,
        intent: &Intent,
        origin: Origin,
        ending: Ending,
    ) -> Result<Outcome, SigningError> {
        let completion = Completion {
            intent: intent.id,
            origin,
            ending,
        };
        let flow = self.metrics.flow(intent.kind, &intent.institution);
        let completed = flow.stage(Stage::Complete, self.record.complete(completion));
        Ok(completed.await?)
    }

    /// Writes an audit event that goes with no change of state.
    pub async fn audit(&self, event: Event) -> Result<(), StoreError> {
        self.record.audit(event).await
    }

    async fn sign(
        &self,
        intent: &Intent,
        key: &KeyRecord,
        deadline: Instant,
    ) -> Result<Vec<u8>, SigningError> {
        let deadline = deadline.min(instant_of(intent.expires_at, self.clock.now()));
        let digest = semops_pki::algorithm::sha256(&intent.to_be_signed);
        let raw = self
            .hsm
            .sign(&intent.institution, intent.id.key, digest, deadline)
            .await?;
        let signature = key
            .public
            .verify_raw(&intent.to_be_signed, &raw)
            .map_err(|_| SigningError::FaultySignature(intent.id.key))?;
        artifact(intent, &signature)
    }
}

/// Why the token did not sign, if it is the token, so that another one may.
const fn failing(error: &SigningError) -> Option<Failing> {
    match error {
        SigningError::Hsm(error) => match error {
            HsmError::QueueFull(_) => Some(Failing::Full),
            HsmError::DeadlineExceeded => Some(Failing::Late),
            HsmError::Unavailable(_) => Some(Failing::Unavailable),
            HsmError::Rejected(_) => Some(Failing::Refused),
            HsmError::Stopped => None,
        },
        SigningError::FaultySignature(_) => Some(Failing::Faulty),
        _ => None,
    }
}

/// The points after the recording, the signature and its recording.
const fn points(kind: Kind) -> [Point; 3] {
    match kind {
        Kind::Authorization => [
            Point::CosignBegun,
            Point::CosignSigned,
            Point::CosignCompleted,
        ],
        Kind::DeviceCertificate => [
            Point::EnrollBegun,
            Point::EnrollSigned,
            Point::EnrollCompleted,
        ],
        Kind::Crl => [Point::CrlBegun, Point::CrlSigned, Point::CrlCompleted],
        Kind::AuthorizationCertificate | Kind::KeyCertificate | Kind::CertificationRequest => [
            Point::CreateKeyBegun,
            Point::CreateKeySigned,
            Point::CreateKeyCompleted,
        ],
    }
}

/// That the token made a signature which does not verify. The intent stays as it is.
fn disowned(operation: &Operation) -> Event {
    let subject = &operation.subject;
    Event {
        origin: operation.origin.clone(),
        institution: operation.institution.clone(),
        operation: subject.kind().name(),
        object: Some(subject.object()),
        device: subject.device(),
        policy: subject.policy(),
        key: None,
        result: Resulted::Refused,
        reason: Some(Reason::FaultySignature.name().to_owned()),
    }
}

/// The signed object: what goes out and what is kept.
fn artifact(intent: &Intent, signature: &Signature) -> Result<Vec<u8>, SigningError> {
    Ok(match intent.kind {
        Kind::Authorization => {
            let input = str::from_utf8(&intent.to_be_signed)
                .map_err(|_| StoreError::Corrupt("a recorded signing input is not ASCII".into()))?;
            jws::compact(input, &signature.to_raw()).into_bytes()
        }
        Kind::DeviceCertificate
        | Kind::Crl
        | Kind::AuthorizationCertificate
        | Kind::KeyCertificate
        | Kind::CertificationRequest => assemble(&intent.to_be_signed, signature),
    })
}

fn instant_of(moment: Timestamp, now: Timestamp) -> Instant {
    let start = Instant::now();
    start.checked_add(now.until(moment)).unwrap_or(start)
}
