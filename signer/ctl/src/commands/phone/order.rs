//! `phone order`: what the payer saw, signed by the phone for the payer's own institution.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use semops_objects::{
    Amount, Channel, InstitutionId, Kind, Order, OrderJws, Payee, emv::MerchantQr, jws, offer,
    payment::DEFAULT_LIFETIME,
};
use semops_pki::{certificate::Certificate, local_key::LocalKey};
use serde_json::json;
use uuid::{NoContext, Timestamp, Uuid};

use super::{CHAIN, KEY};
use crate::{failure::Failure, files, output::Report};

const JSON: &str =
    "JSON: {\"jti\", \"iat\", \"exp\" (Unix seconds), \"order_jws\", \"saved_to\" (path)}";

/// What is ordered.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// Folder of the phone: key.pem, and chain.pem as `enroll --out` saves it
    #[arg(long, value_name = "DIR")]
    phone: PathBuf,
    /// The payer's institution, which is to co-sign
    #[arg(long, value_name = "ID")]
    payer_institution: InstitutionId,
    /// The payee's institution
    #[arg(long, value_name = "ID")]
    to: InstitutionId,
    /// Where it is paid: virtual_pos, real_pos or p2p
    #[arg(long)]
    channel: Channel,
    /// The payee's id at its institution
    #[arg(long, value_name = "ID", required_unless_present = "emv_qr")]
    payee_id: Option<String>,
    /// The payee's name, as the payer sees it
    #[arg(long, value_name = "NAME", required_unless_present = "emv_qr")]
    payee_name: Option<String>,
    /// The amount with exactly the decimals of its currency, such as 12.99
    #[arg(long, required_unless_present = "emv_qr")]
    amount: Option<String>,
    /// ISO 4217 code, such as EUR
    #[arg(long, value_name = "CODE", required_unless_present = "emv_qr")]
    currency: Option<String>,
    /// The payee's offer: the order is bound to its exact bytes
    #[arg(long, value_name = "FILE")]
    offer: Option<PathBuf>,
    /// Content of a merchant's EMV QR code, which is the offer and names payee, currency and (if it holds one) amount
    #[arg(long, value_name = "FILE", conflicts_with_all = ["offer", "payee_id", "payee_name", "currency"])]
    emv_qr: Option<PathBuf>,
    /// Seconds until the order ends, 600 at most
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_LIFETIME)]
    lifetime: u64,
    /// Save the order here: a compact JWS
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What the payer agrees to.
struct Terms {
    amount: Amount,
    payee: Payee,
    offer_sha256: Option<[u8; 32]>,
}

/// Signs the order.
pub(super) fn run(args: &Args, now: SystemTime) -> Result<Report, Failure> {
    let (key, kid) = load_phone(&args.phone)?;
    let terms = match &args.emv_qr {
        Some(path) => args.terms_of_qr(path)?,
        None => args.terms()?,
    };
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_err(|_| Failure::usage("the clock is before 1970", "set it"))?;
    let iat = now.as_secs();
    let order = Order {
        jti: order_id(now),
        iat,
        exp: iat.saturating_add(args.lifetime),
        aud: args.payer_institution.clone(),
        kind: Kind::Payment,
        channel: args.channel,
        amount: terms.amount,
        payee: terms.payee,
        offer_sha256: terms.offer_sha256,
    };
    let signing_input = order.signing_input(&kid);
    let signature = key
        .sign_raw(signing_input.as_bytes())
        .map_err(|error| Failure::usage(error, "try again"))?;
    // Parsing is checking: what the service would refuse by its form is refused here.
    let signed = OrderJws::parse(&jws::compact(&signing_input, &signature))?;
    files::write(&args.out, signed.compact().as_bytes())?;
    Ok(report(&signed, &args.out))
}

impl Args {
    fn terms(&self) -> Result<Terms, Failure> {
        // clap has seen to it that all four are there.
        let value = self.amount.as_deref().unwrap_or_default();
        let currency = self.currency.as_deref().unwrap_or_default();
        let amount =
            Amount::parse(value, currency).map_err(|rule| broken("--amount, --currency", &rule))?;
        let id = self.payee_id.as_deref().unwrap_or_default();
        let name = self.payee_name.as_deref().unwrap_or_default();
        let payee = Payee::new(self.to.clone(), id, name)
            .map_err(|rule| broken("--payee-id, --payee-name", &rule))?;
        let offer_sha256 = match &self.offer {
            Some(path) => Some(offer::sha256(&files::read(path)?)),
            None => None,
        };
        Ok(Terms {
            amount,
            payee,
            offer_sha256,
        })
    }

    fn terms_of_qr(&self, path: &Path) -> Result<Terms, Failure> {
        let content = files::read(path)?;
        let qr = MerchantQr::parse(&content).map_err(|error| broken(&path.display(), &error))?;
        let amount = match (qr.amount(), self.amount.as_deref()) {
            (Some(amount), None) => amount,
            (None, Some(value)) => {
                Amount::parse_in(value, qr.currency()).map_err(|rule| broken("--amount", &rule))?
            }
            (Some(_), Some(_)) => {
                return Err(broken("--amount", "the QR code names the amount already"));
            }
            (None, None) => {
                return Err(broken(&path.display(), "it names no amount: give --amount"));
            }
        };
        let payee = Payee::new(self.to.clone(), qr.merchant_id(), qr.merchant_name())
            .map_err(|rule| broken(&path.display(), &rule))?;
        Ok(Terms {
            amount,
            payee,
            offer_sha256: Some(offer::sha256(&content)),
        })
    }
}

/// The phone's key, and the `kid` of its certificate: x5t#S256 (RFC 7515 s4.1.8).
fn load_phone(folder: &Path) -> Result<(LocalKey, [u8; 32]), Failure> {
    let (key_path, chain_path) = (folder.join(KEY), folder.join(CHAIN));
    let unusable = |path: &Path, rule: &dyn Display| {
        Failure::usage(
            format!("{}: {rule}", path.display()),
            "make a phone with `phone new`, enrol its csr.pem, and save the chain beside its key: enroll --out DIR/chain.pem",
        )
    };
    let pem = zeroize::Zeroizing::new(
        files::read_text(&key_path).map_err(|error| unusable(&key_path, &error))?,
    );
    let key = LocalKey::from_pkcs8_pem(&pem).map_err(|error| unusable(&key_path, &error))?;
    let pem = files::read_text(&chain_path).map_err(|error| unusable(&chain_path, &error))?;
    let chain = Certificate::chain_from_pem(&pem).map_err(|error| unusable(&chain_path, &error))?;
    let device = chain
        .first()
        .ok_or_else(|| unusable(&chain_path, &"no certificate in it"))?;
    if device.public_key() != key.public_key() {
        return Err(unusable(
            &chain_path,
            &"it certifies another key than key.pem",
        ));
    }
    Ok((key, device.sha256()))
}

/// A UUIDv7 (RFC 9562 s5.7): milliseconds, then random bits.
fn order_id(now: Duration) -> Uuid {
    Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        now.as_secs(),
        now.subsec_nanos(),
    ))
}

fn broken(what: &(impl Display + ?Sized), rule: &(impl Display + ?Sized)) -> Failure {
    Failure::usage(
        format!("{what}: {rule}"),
        "change it, or give other options: `semopsctl phone order --help`",
    )
}

fn report(signed: &OrderJws, out: &Path) -> Report {
    let order = signed.order();
    let path = out.display().to_string();
    let (amount, payee) = (order.amount, &order.payee);
    Report::new(json!({
        "jti": order.jti.to_string(),
        "iat": order.iat,
        "exp": order.exp,
        "order_jws": signed.compact(),
        "saved_to": path,
    }))
    .row(
        "signed",
        format!(
            "{} {} to {} ({})",
            amount.currency().code(),
            amount.value(),
            payee.name(),
            payee.id()
        ),
    )
    .row("payee's side", payee.institution().as_str())
    .row("order", order.jti.to_string())
    .row(
        "valid until",
        super::super::authorization::moment(order.exp),
    )
    .row("saved to", &path)
    .next(format!(
        "before it ends: semopsctl --profile {}-PROFILE cosign --order {path}",
        order.aud
    ))
}
