//! `phone new`: a P-256 key that stays in its folder, and the request that proves its possession.

use std::path::PathBuf;

use der::pem::{LineEnding, encode_string};
use semops_pki::local_key::LocalKey;
use serde_json::json;

use super::{CHAIN, KEY, REQUEST};
use crate::{failure::Failure, files, output::Report};

/// Where the phone lives.
#[derive(Debug, clap::Args)]
#[command(after_help = "JSON: {\"key\", \"csr\" (paths)}")]
pub(super) struct Args {
    /// Folder of the phone: gets key.pem (readable by you alone) and csr.pem
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Makes the phone. A folder that holds a key already is refused.
pub(super) fn run(args: &Args) -> Result<Report, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::usage(error, "this should not happen: try again");
    let key = LocalKey::generate().map_err(|error| failed(&error))?;
    let pem = key.to_pkcs8_pem().map_err(|error| failed(&error))?;
    // The service ignores the subject of a request; RFC 2986 s4.1 wants one.
    let request = key
        .certification_request("phone")
        .map_err(|error| failed(&error))?;
    let request = encode_string("CERTIFICATE REQUEST", LineEnding::LF, &request)
        .map_err(|error| failed(&error))?;
    let (key_path, request_path) = (args.out.join(KEY), args.out.join(REQUEST));
    files::make_folder(&args.out)?;
    files::write_new_secret(&key_path, pem.as_bytes())?;
    files::write(&request_path, request.as_bytes())?;
    let chain = args.out.join(CHAIN).display().to_string();
    let (key, csr) = (
        key_path.display().to_string(),
        request_path.display().to_string(),
    );
    let report = Report::new(json!({"key": key, "csr": csr}))
        .row("key", key)
        .row("request", &csr);
    Ok(report.next(format!(
        "enrol it: semopsctl --profile ISSUER-PROFILE enroll --csr {csr} --subscriber REF --out {chain}"
    )))
}
