//! The main job, played over mutual TLS: a phone is enrolled and accepted, its order co-signed and verified, everything
//! that must be refused is refused; custodians change what rules their bank, and its key while customers pay. The demo tells
//! it, the tests replay it; what it leaves is [`Evidence`].

mod acts;
mod burst;
mod custody;
mod lookup;
mod narrator;
mod rotation;

use semops_proto::client::Client;
use softhsm_setup::scheme::Role;

pub use acts::Payment;
pub use narrator::Narrator;

use crate::{
    deployment::Deployment,
    evidence::{Evidence, Trust},
    failure::Failure,
    phone::Phone,
};

/// A merchant's QR code, exact bytes.
pub const QR: &[u8] = include_bytes!("../testdata/emv-qr.txt");

/// Those who call the service.
#[derive(Clone, Debug)]
pub struct Callers {
    /// The enrolment system of the mobile network operator.
    pub mobilis_enrolment: Client,
    /// The enrolment system of the payer's bank.
    pub alfa_enrolment: Client,
    /// The backend of the payer's bank.
    pub alfa_payments: Client,
    /// The enrolment system of the payee's bank.
    pub beta_enrolment: Client,
    /// The backend of the payee's bank.
    pub beta_payments: Client,
}

impl Callers {
    /// Connects them all.
    ///
    /// # Errors
    /// No connection.
    pub async fn connect(deployment: &Deployment) -> Result<Self, Failure> {
        Ok(Self {
            mobilis_enrolment: deployment.client("mobilis", Role::Enrolment).await?,
            alfa_enrolment: deployment.client("alfa", Role::Enrolment).await?,
            alfa_payments: deployment.client("alfa", Role::Payments).await?,
            beta_enrolment: deployment.client("beta", Role::Enrolment).await?,
            beta_payments: deployment.client("beta", Role::Payments).await?,
        })
    }
}

/// Plays the whole story once, in a deployment of the example scheme with its own rate limits.
///
/// # Errors
/// The first step that does not come out as it must.
pub async fn play(deployment: &Deployment, narrator: &Narrator) -> Result<Evidence, Failure> {
    let told = begin(deployment, narrator).await?;
    let rotated = rotation::rotate(deployment, &told.callers, narrator).await?;
    let crl_after_revocation = end(&told, narrator).await?;
    Ok(Evidence {
        device_chain: told.phone.chain()?.to_vec(),
        device_csr: told.request,
        offer: QR.to_vec(),
        order_jws: told.payment.cosigned.order_jws,
        authorization_jws: told.payment.cosigned.authorization_jws,
        trust: told.trust,
        rotated,
        crl_after_revocation,
    })
}

/// Plays it without the rotation: a record of the first versions has no place for what a rotation makes.
///
/// # Errors
/// The first step that does not come out as it must.
pub async fn play_without_rotation(deployment: &Deployment) -> Result<(), Failure> {
    let narrator = Narrator::silent();
    let told = begin(deployment, &narrator).await?;
    end(&told, &narrator).await.map(drop)
}

/// The story so far.
struct Told {
    callers: Callers,
    phone: Phone,
    request: Vec<u8>,
    trust: Trust,
    payment: Payment,
}

async fn begin(deployment: &Deployment, narrator: &Narrator) -> Result<Told, Failure> {
    let callers = narrator
        .step(
            "alfa, beta and mobilis connect over mutual TLS 1.3",
            async {
                let callers = Callers::connect(deployment).await?;
                Ok((callers, "5 callers".to_owned()))
            },
        )
        .await?;
    let mut phone = Phone::new()?;
    let request = acts::enrol(&callers, &mut phone, narrator).await?;
    acts::accept(&callers, &phone, narrator).await?;
    let trust = lookup::fetch_trust(&callers, narrator).await?;
    let payment = acts::pay(&callers, &phone, narrator).await?;
    acts::verify(&callers, &payment, narrator).await?;
    acts::repeat(&callers, &phone, &payment, narrator).await?;
    acts::refusals(&callers, &phone, &payment, narrator).await?;
    burst::burst(&callers, &phone, narrator).await?;
    custody::change(deployment, &callers, narrator).await?;
    Ok(Told {
        callers,
        phone,
        request,
        trust,
        payment,
    })
}

async fn end(told: &Told, narrator: &Narrator) -> Result<Vec<u8>, Failure> {
    acts::revoke(&told.callers, &told.phone, &told.trust, narrator).await
}
