//! Two replicas on the same tokens: whichever is asked, and if both are at once, one request has one key.

use e2e::{cluster::Cluster, deployment::Deployment, failure::Failure, recheck::recheck, token};
use semops_proto::v1::KeyPurpose;
use softhsm_setup::scheme::{Role, Scheme};
use uuid::Uuid;

use super::{create, in_token, listed};

#[tokio::test]
async fn two_replicas_make_one_key() -> Result<(), Failure> {
    let cluster = Cluster::start()?;
    let mut deployment = Deployment::prepare(Scheme::EXAMPLE, &mut |_| {})?;
    deployment.keep_record_in(&cluster).await?;
    deployment.start().await?;
    let replica = deployment.replica(|command| command).await?;
    let one = deployment.client("alfa", Role::Custodian).await?;
    let other = replica.client(&deployment, "alfa", Role::Custodian).await?;
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
        // What one of them made in vain is gone with the next answer, at the latest.
        create(&other, purpose, request).await?;
        create(&one, purpose, request).await?;
        for key in [&first, &made] {
            assert_eq!(in_token(&deployment, "alfa", key)?, (1, 0), "{purpose:?}");
        }
    }
    assert_eq!(listed(&one).await?.len(), 7);
    assert_eq!(listed(&other).await?.len(), 7);
    assert_eq!(token::private_keys(&deployment, "alfa")?, 7);
    recheck(&mut deployment).await?;
    replica.stop().await?;
    deployment.stop().await
}
