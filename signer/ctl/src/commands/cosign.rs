//! `cosign`: the authorization for a phone's order.

use std::path::PathBuf;

use semops_objects::{Authorization, AuthorizationJws, OrderJws};
use semops_proto::{
    client::Client,
    v1::{CosignOrderRequest, CosignOrderResponse},
};
use serde_json::json;

use crate::{
    failure::Failure,
    files,
    output::{Report, path_json},
};

const JSON: &str = "JSON: {\"device_id\", \"jti\", \"order_jws\", \"authorization_jws\", \"exp\" (Unix seconds), \
                    \"saved_to\" (path or null)}";

/// The order and the bank's own references.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub struct Args {
    /// The order: a compact JWS signed by the phone
    #[arg(long, value_name = "FILE")]
    order: PathBuf,
    /// ISO 20022 EndToEndIdentification, 1-35 characters
    #[arg(long, value_name = "ID")]
    end_to_end_id: Option<String>,
    /// ISO 20022 UETR: a UUIDv4 in lower case
    #[arg(long, value_name = "UUID")]
    uetr: Option<String>,
    /// Save the authorization here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Has the order co-signed. The same content again gives the same bytes.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let request = CosignOrderRequest {
        order_jws: files::read_jws(&args.order)?,
        end_to_end_id: args.end_to_end_id.clone(),
        uetr: args.uetr.clone(),
    };
    let sent = request.order_jws.clone();
    let answer = client.cosign_order(request).await?;
    let authorization = read(&sent, &answer)?;
    if let Some(path) = &args.out {
        files::write(path, answer.authorization_jws.as_bytes())?;
    }
    Ok(report(args, &answer, authorization.authorization()))
}

/// The authorization, if it is one and bound to the order beside it, which says what was sent.
fn read(sent: &str, answer: &CosignOrderResponse) -> Result<AuthorizationJws, Failure> {
    if signing_input(sent) != signing_input(&answer.order_jws) {
        return Err(Failure::untrue("another order than the one that was sent"));
    }
    let order = OrderJws::parse(&answer.order_jws)
        .map_err(|error| Failure::bad_answer(format!("the order: {error}")))?;
    let authorization = AuthorizationJws::parse(&answer.authorization_jws)
        .map_err(|error| Failure::bad_answer(format!("the authorization: {error}")))?;
    if authorization.authorization().order_sha256 != order.sha256() {
        return Err(Failure::untrue(
            "the authorization is bound to another order",
        ));
    }
    Ok(authorization)
}

/// What a JWS says, without its signature: the phone may have signed the same order anew (RFC 7515 s5.1).
fn signing_input(jws: &str) -> Option<&str> {
    jws.rsplit_once('.').map(|(input, _)| input)
}

fn report(args: &Args, answer: &CosignOrderResponse, authorization: &Authorization) -> Report {
    let (amount, payee) = (authorization.amount, &authorization.payee);
    let (currency, value) = (amount.currency(), amount.value());
    let report = Report::new(json!({
        "device_id": answer.device_id,
        "jti": answer.jti,
        "order_jws": answer.order_jws,
        "authorization_jws": answer.authorization_jws,
        "exp": authorization.exp,
        "saved_to": path_json(args.out.as_deref()),
    }))
    .row(
        "authorized",
        format!("{currency} {value} to {} ({})", payee.name(), payee.id()),
    )
    .row("payee's side", payee.institution().as_str())
    .row(
        "order",
        format!("{} of device {}", answer.jti, answer.device_id),
    )
    .row(
        "accept until",
        super::authorization::moment(authorization.exp),
    );
    match &args.out {
        Some(path) => report.row("saved to", path.display().to_string()),
        None => report.row("authorization", &answer.authorization_jws),
    }
    .next(format!(
        "send the authorization to {}; the order stays with you",
        payee.institution()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_order_than_the_one_that_was_sent_is_not_taken() {
        let answer = CosignOrderResponse {
            order_jws: "aGVhZA.b3RoZXI.c2ln".to_owned(),
            ..CosignOrderResponse::default()
        };
        let Err(Failure::BadAnswer { message, .. }) = read("aGVhZA.b3JkZXI.c2ln", &answer) else {
            unreachable!("it was taken");
        };
        assert_eq!(message, "another order than the one that was sent");
        // Signed anew it is the same order; this one is no order at all.
        let Err(Failure::BadAnswer { message, .. }) = read("aGVhZA.b3RoZXI.bmV3", &answer) else {
            unreachable!("it was taken");
        };
        assert!(message.starts_with("the order: "), "{message}");
    }
}
