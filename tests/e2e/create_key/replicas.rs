//! Two replicas on the same tokens: whichever is asked, and if both are at once, one request has one key.

use e2e::{cluster::Cluster, deployment::Deployment, failure::Failure, recheck::recheck, token};
use semops_proto::{
    client::Client,
    v1::{DiscardKeyRequest, Key, KeyPurpose},
};
use softhsm_setup::scheme::{Role, Scheme};
use uuid::Uuid;

use super::{create, in_token, listed};

/// How often a key of each purpose is asked for at both at once.
const ROUNDS: usize = 15;

/// The key that two requests at each of both at once are answered with.
async fn at_once(
    [one, other]: [&Client; 2],
    purpose: KeyPurpose,
    request: Uuid,
) -> Result<Key, Failure> {
    let [a, b, c, d] = [one, other, one, other].map(|client| create(client, purpose, request));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let made = a?;
    for same in [b?, c?, d?] {
        assert_eq!(same.key_id, made.key_id);
        assert_eq!(same.certificate_chain, made.certificate_chain);
        assert_eq!(same.certification_request, made.certification_request);
    }
    Ok(made)
}

#[tokio::test]
async fn two_replicas_make_one_key() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let prepared = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    let (mut deployment, replica) = prepared.doubled(&cluster).await?;
    let [one, other] = replica.both(&deployment, "alfa", Role::Custodian).await?;
    let mut private_keys = token::private_keys(&deployment, "alfa")?;
    for purpose in [KeyPurpose::Authorization, KeyPurpose::DeviceCa] {
        // After each other.
        let request = Uuid::new_v4();
        let first = create(&one, purpose, request).await?;
        assert_eq!(create(&other, purpose, request).await?, first);
        assert_eq!(
            in_token(&deployment, "alfa", &first)?,
            (1, 0),
            "{purpose:?}"
        );
        private_keys += 1;
        for round in 0..ROUNDS {
            let made = at_once([&one, &other], purpose, Uuid::new_v4()).await?;
            assert_eq!(in_token(&deployment, "alfa", &made)?, (1, 0), "{purpose:?}");
            let found = token::private_keys(&deployment, "alfa")?;
            assert_eq!(found, private_keys + 1, "{purpose:?}, {round}");
            // Both at once again, to the end of it.
            let key_id = made.key_id;
            let discard = DiscardKeyRequest { key_id };
            let (here, there) = tokio::join!(
                one.discard_key(discard.clone()),
                other.discard_key(discard.clone())
            );
            here?;
            there?;
            let found = token::private_keys(&deployment, "alfa")?;
            assert_eq!(found, private_keys, "{purpose:?}, {round}");
        }
    }
    assert_eq!(listed(&one).await?, listed(&other).await?);
    recheck(&mut deployment).await?;
    replica.stop().await?;
    deployment.stop().await
}
