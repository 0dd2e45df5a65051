//! A caller that is removed or disabled while it is connected: the very next request is refused, whatever it asks, also
//! before its connection is closed.

use e2e::{
    deployment::Deployment,
    failure::Failure,
    phone::{self, Phone},
    raw,
    recheck::recheck,
    refusal,
};
use prost::Message;
use semops_objects::{Amount, Payee};
use semops_proto::v1;
use softhsm_setup::scheme::Role;
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use super::HEALTH;

/// What a caller asks: well-formed, and served as long as it is registered.
struct Ask {
    role: Role,
    path: &'static str,
    message: Vec<u8>,
}

#[tokio::test]
async fn the_next_request_of_a_removed_caller_is_refused_whatever_it_asks() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let callers = [
        (
            Role::Enrolment,
            deployment.channel("alfa", Role::Enrolment).await?,
        ),
        (
            Role::Payments,
            deployment.channel("alfa", Role::Payments).await?,
        ),
    ];
    let bystander = deployment.channel("beta", Role::Payments).await?;
    let mut version = 1;
    let mut next = || {
        version += 1;
        version
    };
    for ask in asks(&deployment).await? {
        let (_, channel) = callers.iter().find(|(role, _)| *role == ask.role).unwrap();
        for edit in [removed, disabled] {
            deployment.load_next("callers", "alfa", next(), |text| edit(&text, ask.role))?;
            let refused = called(channel, &ask).await?;
            refusal::demand(
                Err::<(), _>(refused),
                Code::Unauthenticated,
                "CALLER_UNKNOWN",
            )
            .map_err(|failure| failure.in_step(ask.path))?;
            // Nobody else notices.
            assert_eq!(
                raw::call(&bystander, HEALTH, &[]).await?.status.code(),
                Code::Ok
            );
            deployment.load_next("callers", "alfa", next(), |text| text)?;
            // What is restored counts at once as well.
            let restored = called(channel, &ask).await?.code();
            assert!(
                restored != Code::Unauthenticated,
                "{}: {restored:?}",
                ask.path
            );
        }
    }
    recheck(&mut deployment).await.map(drop)
}

async fn called(channel: &Channel, ask: &Ask) -> Result<Status, Failure> {
    Ok(raw::call(channel, ask.path, &ask.message).await?.status)
}

/// The register without that caller.
fn removed(text: &str, role: Role) -> String {
    let id = id(role);
    let mut blocks = text.split("[[caller]]");
    let head = blocks.next().unwrap_or_default().to_owned();
    let kept = blocks.filter(|block| !block.contains(&id));
    let kept = kept.fold(head, |text, block| text + "[[caller]]" + block);
    assert!(kept.len() < text.len(), "{id} is not in {text}");
    kept
}

/// The register with that caller disabled.
fn disabled(text: &str, role: Role) -> String {
    let entry = format!("id = \"{}\"\nstate = \"active\"", id(role));
    assert!(text.contains(&entry), "{entry} is not in {text}");
    text.replace(&entry, &entry.replace("active", "disabled"))
}

fn id(role: Role) -> String {
    let name = match role {
        Role::Enrolment => "ra",
        _ => "backend",
    };
    format!("spiffe://semops.example/alfa/{role}/{name}")
}

fn crl_of_alfa() -> v1::GetCrlRequest {
    v1::GetCrlRequest {
        institution: "alfa".into(),
        authority: v1::Authority::DeviceCa.into(),
        key_id: String::new(),
    }
}

/// Every method that these callers may use, about a device of alfa and an order of it.
async fn asks(deployment: &Deployment) -> Result<Vec<Ask>, Failure> {
    let mut phone = Phone::new()?;
    let enroll = v1::EnrollDeviceRequest {
        certification_request: phone.request()?,
        subscriber_reference: phone::pseudonym(),
    };
    let enrolment = deployment.client("alfa", Role::Enrolment).await?;
    phone.take_certificate(&enrolment.enroll_device(enroll.clone()).await?)?;
    let device_id = phone.device_id()?.to_owned();
    let accept = v1::AcceptDeviceRequest {
        device_id: device_id.clone(),
        account_reference: phone::pseudonym(),
    };
    let beta = "beta".parse().map_err(Failure::during("beta"))?;
    let payee = Payee::new(beta, "M-1", "Kiosk").map_err(Failure::during("payee"))?;
    let amount = Amount::parse("1.00", "EUR").map_err(Failure::during("amount"))?;
    let order = phone::order("alfa", amount, payee)?;
    let cosign = v1::CosignOrderRequest {
        order_jws: phone.sign(&order)?,
        ..Default::default()
    };
    let get = v1::GetAuthorizationRequest {
        device_id: device_id.clone(),
        jti: order.jti.to_string(),
    };
    let revoke = v1::RevokeDeviceRequest {
        device_id: Uuid::new_v4().to_string(),
        ..Default::default()
    };
    let device = v1::GetDeviceRequest {
        device_id: device_id.clone(),
    };
    let ask = |role, path, message: &dyn Encoded| Ask {
        role,
        path,
        message: message.encoded(),
    };
    Ok(vec![
        ask(
            Role::Enrolment,
            "/semops.signer.v1.EnrollmentService/EnrollDevice",
            &enroll,
        ),
        ask(
            Role::Enrolment,
            "/semops.signer.v1.EnrollmentService/AcceptDevice",
            &accept,
        ),
        ask(
            Role::Enrolment,
            "/semops.signer.v1.EnrollmentService/GetDevice",
            &device,
        ),
        ask(
            Role::Payments,
            "/semops.signer.v1.EnrollmentService/GetDevice",
            &device,
        ),
        ask(
            Role::Enrolment,
            "/semops.signer.v1.EnrollmentService/RevokeDevice",
            &revoke,
        ),
        ask(
            Role::Payments,
            "/semops.signer.v1.CosigningService/CosignOrder",
            &cosign,
        ),
        ask(
            Role::Payments,
            "/semops.signer.v1.CosigningService/GetAuthorization",
            &get,
        ),
        ask(
            Role::Payments,
            "/semops.signer.v1.CosigningService/VerifyAuthorization",
            &v1::VerifyAuthorizationRequest::default(),
        ),
        ask(
            Role::Enrolment,
            "/semops.signer.v1.EnrollmentService/ReleaseDevice",
            &v1::ReleaseDeviceRequest { device_id },
        ),
        ask(
            Role::Payments,
            "/semops.signer.v1.TrustService/GetCrl",
            &crl_of_alfa(),
        ),
        ask(
            Role::Payments,
            "/semops.signer.v1.TrustService/GetTrustBundle",
            &v1::GetTrustBundleRequest {},
        ),
        ask(Role::Payments, HEALTH, &()),
    ])
}

trait Encoded {
    fn encoded(&self) -> Vec<u8>;
}

impl<M: Message> Encoded for M {
    fn encoded(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}
