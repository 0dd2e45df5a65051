//! A token that fails while a key is made: the request is done within the call or by its repetition, and leaves one pair.

use e2e::{failure::Failure, faults::Fault, refusal::demand, token};
use semops_proto::v1::KeyPurpose;
use softhsm_setup::scheme::Role;
use tonic::Code;
use uuid::Uuid;

use super::{create, in_token};
use crate::hsm_faults::drill::Drill;

/// A name, the rule's members, and whether the call itself comes through it.
const TROUBLES: [(&str, &str, bool); 6] = [
    (
        "dies-making",
        "first = 1\ncalls = ['C_GenerateKeyPair']\neffect = 'abort'",
        true,
    ),
    (
        "dies-naming",
        "first = 1\ncalls = ['C_SetAttributeValue']\neffect = 'abort'",
        true,
    ),
    (
        "session-lost",
        "first = 1\ncalls = ['C_GenerateKeyPair']\neffect = { drop = 'session' }",
        true,
    ),
    (
        "logged-out",
        "first = 1\ncalls = ['C_SetAttributeValue']\neffect = 'log-out'",
        true,
    ),
    (
        "never-made",
        "calls = ['C_GenerateKeyPair']\neffect = { return = 'CKR_DEVICE_ERROR' }",
        false,
    ),
    (
        "never-named",
        "calls = ['C_SetAttributeValue']\neffect = { return = 'CKR_DEVICE_ERROR' }",
        false,
    ),
];

#[tokio::test]
async fn a_token_that_fails_leaves_one_pair() -> Result<(), Failure> {
    let drill = Drill::begin().await?;
    let custodian = drill.deployment.client("alfa", Role::Custodian).await?;
    let purposes = [
        KeyPurpose::Authorization,
        KeyPurpose::DeviceCa,
        KeyPurpose::SigningCa,
    ];
    for (number, (name, rule, comes_through)) in TROUBLES.into_iter().enumerate() {
        let (request, purpose) = (Uuid::new_v4(), purposes[number % 3]);
        drill.faults.set(&[Fault::at("alfa", name, rule)])?;
        let asked = create(&custodian, purpose, request).await;
        assert!(drill.faults.struck(name)? > 0, "{name}");
        drill.faults.heal()?;
        let made = if comes_through {
            asked?
        } else {
            let refused = asked.map(|key| key.key_id);
            demand(refused, Code::Unavailable, "HSM_UNAVAILABLE")?;
            create(&custodian, purpose, request).await?
        };
        assert_eq!(create(&custodian, purpose, request).await?, made, "{name}");
        let left = in_token(&drill.deployment, "alfa", &made)?;
        assert_eq!(left, (1, 0), "{name}");
        // What was there before is there.
        drill.answered(1).await?;
    }
    let held = token::private_keys(&drill.deployment, "alfa")?;
    assert_eq!(held, 3 + TROUBLES.len());
    drill.health_is("SERVING").await?;
    drill.end(TROUBLES.len()).await
}
