//! `keys discard`: a new key that is not wanted after all is destroyed in the token.

use semops_objects::key::KeyId;
use semops_proto::{client::Client, v1::DiscardKeyRequest};
use serde_json::json;

use super::{all, show::the_one};
use crate::{failure::Failure, output::Report};

const JSON: &str = "JSON: {\"key_id\", \"state\": \"DESTROYED\"}";

/// Which key.
#[derive(Debug, clap::Args)]
#[command(after_help = JSON)]
pub(super) struct Args {
    /// The key, in state PRE_ACTIVATION: its id, or the beginning of it
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
}

pub(super) async fn run(args: &Args, client: &Client) -> Result<Report, Failure> {
    let key_id = match the_one(all(client).await?, &args.key) {
        Ok(key) => key.sent.key_id,
        // One that is destroyed is listed no more; whoever asks again by its whole id is answered the same.
        Err(failure) => args
            .key
            .parse::<KeyId>()
            .map(|key| key.to_string())
            .map_err(|_| failure)?,
    };
    let ask = DiscardKeyRequest {
        key_id: key_id.clone(),
    };
    client.discard_key(ask).await?;
    Ok(
        Report::new(json!({ "key_id": key_id, "state": "DESTROYED" }))
            .row("key", &key_id)
            .row("state", "destroyed: its place is free for another new key"),
    )
}
