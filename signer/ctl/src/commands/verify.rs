//! `verify`: what an authorization is worth now, by the trust document of the caller's institution.

use std::path::PathBuf;

use semops_proto::{
    client::Client,
    v1::{Authorization, Verdict, VerifyAuthorizationRequest, VerifyAuthorizationResponse},
};
use serde_json::{Value, json};

use super::device::name_of;
use crate::{
    failure::Failure,
    files,
    output::{Report, utc},
};

const JSON: &str = "JSON: {\"verdict\": \"VALID\" | \"EXPIRED\" | \"REFUSED\", \"reason\" or null, \"authorization\": null \
    or its members}. The members are to be relied on only when VALID; the exit code is then 0, else 4";

/// What to verify.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// The authorization: a compact JWS
    #[arg(long, value_name = "FILE")]
    authorization: PathBuf,
}

/// Verifies the authorization. A bad signature is a verdict, not an error.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let request = VerifyAuthorizationRequest {
        authorization_jws: files::read_jws(&args.authorization)?,
    };
    Ok(report(&client.verify_authorization(request).await?))
}

fn report(answer: &VerifyAuthorizationResponse) -> Report {
    let verdict = name_of(answer.verdict().as_str_name(), "VERDICT_");
    let mut report = Report::new(json!({
        "verdict": verdict,
        "reason": answer.reason,
        "authorization": answer.authorization.as_ref().map(members),
    }))
    .row("verdict", verdict)
    .row_if("reason", answer.reason.as_deref());
    if let Some(authorization) = &answer.authorization {
        report = rows(report, authorization);
    }
    match answer.verdict() {
        Verdict::Valid => report.next("accept it before its end, or let it pass"),
        Verdict::Expired => report
            .not_valid()
            .next("do not accept it now: its time has passed"),
        Verdict::Refused | Verdict::Unspecified => report
            .not_valid()
            .next("do not rely on it, nor on its members"),
    }
}

fn rows(report: Report, authorization: &Authorization) -> Report {
    let amount = authorization.amount.clone().unwrap_or_default();
    let payee = authorization.payee.clone().unwrap_or_default();
    report
        .row("amount", format!("{} {}", amount.currency, amount.value))
        .row(
            "payee",
            format!("{} ({}) at {}", payee.name, payee.id, payee.institution),
        )
        .row("guaranteed by", &authorization.iss)
        .row("made for", &authorization.aud)
        .row("made at", utc(authorization.iat))
        .row("accept until", utc(authorization.exp))
        .row("id", &authorization.jti)
}

fn members(authorization: &Authorization) -> Value {
    json!({
        "jti": authorization.jti,
        "iat": authorization.iat,
        "exp": authorization.exp,
        "iss": authorization.iss,
        "aud": authorization.aud,
        "order_sha256": authorization.order_sha256,
        "kind": authorization.kind,
        "channel": authorization.channel,
        "amount": authorization.amount.as_ref().map(|amount| json!({
            "value": amount.value,
            "currency": amount.currency,
        })),
        "payee": authorization.payee.as_ref().map(|payee| json!({
            "institution": payee.institution,
            "id": payee.id,
            "name": payee.name,
        })),
        "offer_sha256": authorization.offer_sha256,
        "payer": authorization.payer,
        "end_to_end_id": authorization.end_to_end_id,
        "uetr": authorization.uetr,
        "policy": authorization.policy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Exit, Form};

    fn answer(verdict: Verdict, reason: Option<&str>) -> VerifyAuthorizationResponse {
        VerifyAuthorizationResponse {
            verdict: verdict.into(),
            reason: reason.map(str::to_owned),
            authorization: None,
        }
    }

    #[test]
    fn only_valid_ends_with_zero() {
        assert_eq!(report(&answer(Verdict::Valid, None)).exit(), Exit::Done);
        for verdict in [Verdict::Expired, Verdict::Refused, Verdict::Unspecified] {
            assert_eq!(report(&answer(verdict, None)).exit(), Exit::NotValid);
        }
        let unknown = VerifyAuthorizationResponse {
            verdict: 77,
            ..VerifyAuthorizationResponse::default()
        };
        assert_eq!(report(&unknown).exit(), Exit::NotValid);
    }

    #[test]
    fn a_refusal_names_its_reason() {
        let text = report(&answer(Verdict::Refused, Some("BAD_SIGNATURE")))
            .render(Form::Lines { columns: 80 });
        assert!(
            text.starts_with("verdict  REFUSED\nreason   BAD_SIGNATURE\n"),
            "{text}"
        );
    }
}
