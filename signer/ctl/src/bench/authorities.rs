//! The keys whose authorizations count, as the trust bundle names them, and the check of every authorization that comes.

use std::collections::BTreeMap;

use semops_objects::{AuthorizationJws, InstitutionId};
use semops_pki::{algorithm::PublicKey, certificate::Certificate, chain::Chain};
use semops_proto::v1::{CosignOrderResponse, GetTrustBundleResponse};

use super::order::{Placed, Terms};
use crate::failure::Failure;

/// The authorization keys of the payer's institution.
#[derive(Debug)]
pub struct Authorities {
    /// By the SHA-256 of the certificate; none if the trust document does not name the institution.
    keys: Option<BTreeMap<[u8; 32], PublicKey>>,
}

impl Authorities {
    /// Those that `bundle` names for `institution`, each verified up to the bundle's signing root at `now` (Unix seconds).
    ///
    /// # Errors
    /// The bundle names a certificate that does not hold.
    pub fn read(
        bundle: &GetTrustBundleResponse,
        institution: &InstitutionId,
        now: i64,
    ) -> Result<Self, Failure> {
        let unreadable = |error| Failure::bad_answer(format!("the trust bundle: {error}"));
        let root = Certificate::from_der(&bundle.signing_root).map_err(unreadable)?;
        let trusted = bundle
            .institutions
            .iter()
            .find(|trusted| trusted.institution == institution.as_str());
        let Some(trusted) = trusted else {
            return Ok(Self { keys: None });
        };
        let mut keys = BTreeMap::new();
        for chain in &trusted.chains {
            let chain = chain
                .certificates
                .iter()
                .map(|der| Certificate::from_der(der));
            let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
            Chain::verify(&chain, &root, now).map_err(unreadable)?;
            if let Some(leaf) = chain.first()
                && leaf.subject_organization() == Some(institution.as_str())
            {
                keys.insert(leaf.sha256(), leaf.public_key().clone());
            }
        }
        Ok(Self { keys: Some(keys) })
    }

    /// Whether signatures can be verified.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether `answer` authorizes `order`: the same order comes back, and an authorization bound to it by hash that says
    /// the same and names a known key. Its signature is verified if `verify`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(
        &self,
        terms: &Terms,
        order: &Placed,
        answer: &CosignOrderResponse,
        verify: bool,
    ) -> Result<(), String> {
        if answer.order_jws != order.jws {
            return Err("CosignOrder: another order came back".to_owned());
        }
        let authorization = AuthorizationJws::parse(&answer.authorization_jws)
            .map_err(|error| format!("CosignOrder: the authorization: {error}"))?;
        terms
            .fits(order, &authorization)
            .map_err(|member| format!("CosignOrder: the authorization says another {member}"))?;
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let key = keys.get(&authorization.x5t_s256()).ok_or(
            "CosignOrder: the authorization names a certificate that the trust bundle does not",
        )?;
        if verify && authorization.verify(key).is_err() {
            return Err("CosignOrder: the authorization's signature is bad".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use semops_objects::{Amount, Authorization, Channel, Kind, Payee, jws};
    use semops_pki::{algorithm::sha256, local_key::LocalKey};
    use uuid::Uuid;

    use super::*;

    const CERTIFICATE: [u8; 32] = [9; 32];

    struct Bank {
        key: LocalKey,
        terms: Terms,
        order: Placed,
    }

    impl Bank {
        fn new() -> Self {
            let payee = Payee::new("beta".parse().unwrap(), "bench", "Bench").unwrap();
            let terms = Terms {
                payer: "alfa".parse().unwrap(),
                amount: Amount::parse("1.00", "EUR").unwrap(),
                channel: Channel::RealPos,
                payee,
            };
            let jws = format!(
                "{}.x",
                terms.order(Duration::from_secs(1)).signing_input(&[1; 32])
            );
            let order = Placed {
                sha256: sha256(jws.as_bytes()),
                jws,
            };
            Self {
                key: LocalKey::generate().unwrap(),
                terms,
                order,
            }
        }

        fn authorities(&self) -> Authorities {
            let keys = BTreeMap::from([(CERTIFICATE, self.key.public_key().clone())]);
            Authorities { keys: Some(keys) }
        }

        fn authorization(&self) -> Authorization {
            Authorization {
                jti: Uuid::new_v4(),
                iat: 1,
                exp: 61,
                iss: self.terms.payer.clone(),
                aud: self.terms.payee.institution().clone(),
                order_sha256: self.order.sha256,
                kind: Kind::Payment,
                channel: self.terms.channel,
                amount: self.terms.amount,
                payee: self.terms.payee.clone(),
                offer_sha256: None,
                payer: [3; 16],
                end_to_end_id: None,
                uetr: None,
                policy: [4; 32],
            }
        }

        fn answer(
            &self,
            authorization: &Authorization,
            certificate: [u8; 32],
        ) -> CosignOrderResponse {
            let input = authorization.signing_input(self.key.public_key(), &certificate);
            let signature = self.key.sign_raw(input.as_bytes()).unwrap();
            CosignOrderResponse {
                order_jws: self.order.jws.clone(),
                authorization_jws: jws::compact(&input, &signature),
                ..CosignOrderResponse::default()
            }
        }

        fn check(&self, answer: &CosignOrderResponse, verify: bool) -> Result<(), String> {
            self.authorities()
                .check(&self.terms, &self.order, answer, verify)
        }
    }

    #[test]
    fn the_right_answer_is_taken() {
        let bank = Bank::new();
        let answer = bank.answer(&bank.authorization(), CERTIFICATE);
        assert_eq!(bank.check(&answer, true), Ok(()));
    }

    #[test]
    fn each_wrong_answer_says_what_is_wrong() {
        let bank = Bank::new();
        let right = bank.authorization();
        let amount = Amount::parse("1.01", "EUR").unwrap();
        let cases = [
            (
                Authorization {
                    order_sha256: [0; 32],
                    ..right.clone()
                },
                "order_sha256",
            ),
            (
                Authorization {
                    amount,
                    ..right.clone()
                },
                "amount",
            ),
            (
                Authorization {
                    iss: "gamma".parse().unwrap(),
                    ..right.clone()
                },
                "iss",
            ),
            (
                Authorization {
                    channel: Channel::P2p,
                    ..right.clone()
                },
                "channel",
            ),
            (
                Authorization {
                    offer_sha256: Some([1; 32]),
                    ..right.clone()
                },
                "offer_sha256",
            ),
        ];
        for (wrong, member) in cases {
            let said = bank
                .check(&bank.answer(&wrong, CERTIFICATE), false)
                .unwrap_err();
            assert!(said.ends_with(member), "{said}");
        }
        let foreign = bank
            .check(&bank.answer(&right, [8; 32]), false)
            .unwrap_err();
        assert!(foreign.contains("names a certificate"), "{foreign}");
        let mut other = bank.answer(&right, CERTIFICATE);
        other.order_jws.push('x');
        assert!(
            bank.check(&other, false)
                .unwrap_err()
                .contains("another order")
        );
        let empty = CosignOrderResponse {
            order_jws: bank.order.jws.clone(),
            ..CosignOrderResponse::default()
        };
        assert!(bank.check(&empty, false).is_err());
    }

    #[test]
    fn a_bad_signature_is_found_where_it_is_verified() {
        let bank = Bank::new();
        let forger = LocalKey::generate().unwrap();
        let input = bank
            .authorization()
            .signing_input(bank.key.public_key(), &CERTIFICATE);
        let answer = CosignOrderResponse {
            authorization_jws: jws::compact(&input, &forger.sign_raw(input.as_bytes()).unwrap()),
            ..bank.answer(&bank.authorization(), CERTIFICATE)
        };
        assert_eq!(bank.check(&answer, false), Ok(()));
        assert!(
            bank.check(&answer, true)
                .unwrap_err()
                .contains("signature is bad")
        );
    }
}
