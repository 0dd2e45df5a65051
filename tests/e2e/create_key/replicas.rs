//! Two replicas on the same tokens: whichever is asked, and if both are at once, one request has one key.

use std::time::Duration;

use e2e::{
    cluster::Cluster, deployment::Deployment, failure::Failure, recheck::recheck, token,
    until::until,
};
use semops_proto::v1::KeyPurpose;
use softhsm_setup::scheme::{Role, Scheme};
use uuid::Uuid;

use super::{create, in_token, listed};

const SOON: Duration = Duration::from_secs(30);

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
        // At once.
        let request = Uuid::new_v4();
        let asks = [&one, &other, &one, &other].map(|client| create(client, purpose, request));
        let [a, b, c, d] = asks;
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        let made = a?;
        for same in [b?, c?, d?] {
            assert_eq!(same.key_id, made.key_id);
            assert_eq!(same.certificate_chain, made.certificate_chain);
            assert_eq!(same.certification_request, made.certification_request);
        }
        // What one of them made in vain is gone with one of the next answers.
        private_keys += 2;
        let alone = async || {
            create(&other, purpose, request).await?;
            create(&one, purpose, request).await?;
            Ok((token::private_keys(&deployment, "alfa")? == private_keys).then_some(()))
        };
        until("the end of what was made in vain", SOON, alone).await?;
        for key in [&first, &made] {
            assert_eq!(in_token(&deployment, "alfa", key)?, (1, 0), "{purpose:?}");
        }
    }
    assert_eq!(listed(&one).await?.len(), 7);
    assert_eq!(listed(&other).await?.len(), 7);
    assert_eq!(private_keys, 7);
    recheck(&mut deployment).await?;
    replica.stop().await?;
    deployment.stop().await
}
