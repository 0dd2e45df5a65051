//! Trust documents of which the scenario holds every key: an institution that no token serves, its signing CA, its
//! revocations. And the documents that are refused when they are loaded.

use std::fs;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use e2e::{
    customer::{Customer, order},
    deployment::{Deployment, unix_now},
    failure::Failure,
    recheck::recheck,
};
use semops_objects::{Authorization, AuthorizationJws, jws};
use semops_pki::{
    algorithm::PublicKey,
    certificate::Certificate,
    crl,
    issuer::{Addresses, Content, Issuer, RevokedEntry, Subject},
    local_key::LocalKey,
    profile::Oids,
    signed::{ToBeSigned, assemble},
};
use semops_proto::{
    client::Client,
    v1::{self, Verdict},
};
use softhsm_setup::{directory::Hierarchy, scheme::Role};

const YEAR: i64 = 365 * 86_400;

/// A CA whose key is at hand.
struct Ca {
    key: LocalKey,
    certificate: Certificate,
}

impl Ca {
    fn sign(&self, what: ToBeSigned) -> Result<Vec<u8>, Failure> {
        let signature = self.key.sign(what.bytes())?;
        Ok(assemble(what.bytes(), &signature))
    }

    fn certify(
        &self,
        organization: &str,
        public_key: &PublicKey,
        subject: Subject<'_>,
        oids: &Oids,
    ) -> Result<Certificate, Failure> {
        let now = unix_now()?;
        let content = Content {
            organization,
            public_key,
            serial: *uuid::Uuid::new_v4().as_bytes(),
            not_before: now - 60,
            not_after: now + YEAR,
        };
        let addresses = Addresses {
            crl: "http://gamma.example/ca.crl",
            ca_certificate: "http://gamma.example/ca.cer",
        };
        let issuer = Issuer::new(self.certificate.clone())?;
        let what = issuer.certificate(&content, subject, Some(addresses), oids)?;
        Ok(Certificate::from_der(&self.sign(what)?)?)
    }

    /// A CRL, base64 of DER, valid from an hour ago until `until`.
    fn crl(&self, number: u64, until: i64, revoked: &[&Certificate]) -> Result<String, Failure> {
        let now = unix_now()?;
        let entries: Vec<RevokedEntry> = revoked
            .iter()
            .map(|certificate| RevokedEntry {
                serial: certificate.serial().to_vec(),
                at: now - 60,
                reason: crl::Reason::KeyCompromise,
            })
            .collect();
        let issuer = Issuer::new(self.certificate.clone())?;
        let what = issuer.crl(number, now - 3_600, until, &entries)?;
        Ok(STANDARD.encode(self.sign(what)?))
    }
}

/// The institution `gamma`, known to the scheme's signing root alone.
struct Gamma {
    root: Ca,
    ca: Ca,
    key: LocalKey,
    leaf: Certificate,
}

impl Gamma {
    fn new(deployment: &Deployment) -> Result<Self, Failure> {
        let (directory, oids) = (deployment.directory(), deployment.scheme().oids());
        let read = |path| fs::read_to_string(path);
        let root = Ca {
            key: LocalKey::from_pkcs8_pem(&read(directory.root_key(Hierarchy::Signing))?)?,
            certificate: Certificate::from_pem(&read(directory.root(Hierarchy::Signing))?)?,
        };
        let (ca_key, key) = (LocalKey::generate()?, LocalKey::generate()?);
        let subject = Subject::InstitutionCa {
            common_name: "signing CA",
        };
        let ca = Ca {
            certificate: root.certify("gamma", ca_key.public_key(), subject, oids)?,
            key: ca_key,
        };
        let subject = Subject::Authorization {
            common_name: "authorization",
        };
        let leaf = ca.certify("gamma", key.public_key(), subject, oids)?;
        Ok(Self {
            root,
            ca,
            key,
            leaf,
        })
    }

    /// `[[trusted]]` with this CRL.
    fn trusted(&self, crl: &str) -> String {
        let (ca, leaf) = (self.ca.certificate.to_pem(), self.leaf.to_pem());
        format!(
            "\n[[trusted]]\ninstitution = \"gamma\"\nsigning_ca = '''\n{ca}'''\n\
             authorization_certificates = ['''\n{leaf}''']\nsigning_ca_crls = [\"{crl}\"]\n"
        )
    }

    /// What `model` says, by gamma, now.
    fn authorize(&self, model: &Authorization, iat: u64) -> Result<String, Failure> {
        let said = Authorization {
            iss: "gamma".parse().unwrap(),
            iat,
            exp: iat + 60,
            ..model.clone()
        };
        let input = said.signing_input(self.key.public_key(), &self.leaf.sha256());
        Ok(jws::compact(&input, &self.key.sign_raw(input.as_bytes())?))
    }
}

async fn demand(
    client: &Client,
    jws: &str,
    verdict: Verdict,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let ask = v1::VerifyAuthorizationRequest {
        authorization_jws: jws.to_owned(),
    };
    let answer = client.verify_authorization(ask).await?;
    if (answer.verdict(), answer.reason.as_deref()) == (verdict, reason) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{answer:?}, must be {verdict:?} {reason:?}"
    )))
}

/// An authorization of alfa to beta.
async fn authorization(deployment: &Deployment) -> Result<AuthorizationJws, Failure> {
    let customer = Customer::of_alfa(deployment).await?;
    let alfa = deployment.client("alfa", Role::Payments).await?;
    let cosigned = alfa
        .cosign_order(customer.asks(&order("1.00", "EUR")?)?)
        .await?;
    Ok(AuthorizationJws::parse(&cosigned.authorization_jws)?)
}

/// The line of the member `name`, put in place of the one that is there.
fn with(text: &str, name: &str, value: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix(name) {
        Some(rest) if rest.starts_with(" = ") => format!("{name} = \"{value}\""),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_newer_trust_document_revokes_a_certificate_or_a_ca() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let gamma = Gamma::new(&deployment)?;
    let alfas = authorization(&deployment).await?;
    let beta = deployment.client("beta", Role::Payments).await?;
    let now = u64::try_from(unix_now()?)?;
    let later = unix_now()? + YEAR;
    let genuine = gamma.authorize(alfas.authorization(), now)?;
    let from_future = gamma.authorize(alfas.authorization(), now + 3_000)?;
    let before_it_was_certified = gamma.authorize(alfas.authorization(), now - 86_400)?;
    demand(
        &beta,
        &genuine,
        Verdict::Refused,
        Some("UNKNOWN_CERTIFICATE"),
    )
    .await?;

    let load = |version, change: &dyn Fn(String) -> String| {
        deployment.load_next("trust", "beta", version, change)
    };
    let good = gamma.ca.crl(1, later, &[])?;
    load(2, &|text| text + &gamma.trusted(&good))?;
    demand(&beta, &genuine, Verdict::Valid, None).await?;
    demand(
        &beta,
        &from_future,
        Verdict::Refused,
        Some("ISSUED_IN_FUTURE"),
    )
    .await?;
    demand(
        &beta,
        &before_it_was_certified,
        Verdict::Refused,
        Some("CERTIFICATE_NOT_VALID"),
    )
    .await?;

    let revoking = gamma.ca.crl(2, later, &[&gamma.leaf])?;
    load(3, &|text| text + &gamma.trusted(&revoking))?;
    demand(
        &beta,
        &genuine,
        Verdict::Refused,
        Some("CERTIFICATE_REVOKED"),
    )
    .await?;
    // Alfa's is as good as it was.
    demand(&beta, alfas.compact(), Verdict::Valid, None).await?;

    let stale = gamma.ca.crl(3, unix_now()? - 1, &[])?;
    load(4, &|text| text + &gamma.trusted(&stale))?;
    demand(&beta, &genuine, Verdict::Refused, Some("CRL_STALE")).await?;

    let id = "alfa".parse().unwrap();
    let pem = fs::read_to_string(deployment.directory().ca(Hierarchy::Signing, &id))?;
    let root_crl = gamma.root.crl(2, later, &[&Certificate::from_pem(&pem)?])?;
    load(5, &|text| {
        with(&text, "signing_root_crl", &root_crl) + "\n" + &gamma.trusted(&good)
    })?;
    demand(&beta, alfas.compact(), Verdict::Refused, Some("CA_REVOKED")).await?;
    demand(&beta, &genuine, Verdict::Valid, None).await?;
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn a_trust_document_that_contradicts_itself_is_not_loaded() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let gamma = Gamma::new(&deployment)?;
    let later = unix_now()? + YEAR;
    let good = gamma.ca.crl(1, later, &[])?;
    let trusted = gamma.trusted(&good);
    let device_root = fs::read_to_string(deployment.directory().root(Hierarchy::Device))?;
    let signing_root = gamma.root.certificate.to_pem();
    let of_root = gamma.root.crl(2, later, &[])?;
    let leaf = gamma.leaf.to_pem();
    let ca = gamma.ca.certificate.to_pem();
    type Change<'a> = Box<dyn Fn(String) -> String + 'a>;
    let add = |entry: String| -> Change<'_> { Box::new(move |text| text + &entry) };
    let cases: Vec<(Change<'_>, &str)> = vec![
        (
            Box::new(|text| text.replacen(&signing_root, &device_root, 1)),
            "signing_root",
        ),
        (
            Box::new(|text| with(&text, "signing_root_crl", &good)),
            "signing_root_crl",
        ),
        (
            Box::new(|text| with(&text, "signing_root_crl", "AA=A")),
            "signing_root_crl",
        ),
        (
            add(trusted.replace(&good, &of_root)),
            "trusted.gamma.signing_ca_crls[0]",
        ),
        (
            add(trusted.replace(&format!("\"{good}\""), "")),
            "trusted.gamma.signing_ca[0]",
        ),
        (
            add(trusted.replace("\"gamma\"", "\"delta\"")),
            "trusted.delta.signing_ca[0]",
        ),
        (
            add(trusted.replace("\"gamma\"", "\"alfa\"")),
            "trusted.alfa",
        ),
        (
            add(trusted.replace(&leaf, &ca)),
            "trusted.gamma.authorization_certificates[0]",
        ),
        (
            add(trusted.replace(&ca, &leaf)),
            "trusted.gamma.signing_ca[0]",
        ),
        (add(trusted.replace("signing_ca_crls", "crls")), "crls"),
    ];
    for (index, (change, field)) in cases.into_iter().enumerate() {
        let refused = deployment.load_next("trust", "beta", 2, change);
        let said = refused.expect_err(field).to_string();
        assert!(said.contains(field), "{index}: {field} is not in {said}");
    }
    // The first is still in force, and a version 2 is still the next.
    let beta = deployment.client("beta", Role::Payments).await?;
    let bundle = beta.get_trust_bundle(v1::GetTrustBundleRequest {}).await?;
    assert_eq!(bundle.version, 1);
    deployment.load_next("trust", "beta", 2, |text| text + &trusted)?;
    let bundle = beta.get_trust_bundle(v1::GetTrustBundleRequest {}).await?;
    let ids: Vec<_> = bundle
        .institutions
        .iter()
        .map(|i| i.institution.as_str())
        .collect();
    assert_eq!(
        (bundle.version, ids.as_slice()),
        (2, &["alfa", "beta", "gamma"][..])
    );
    let header = format!(
        "\"kid\":\"{}\"",
        URL_SAFE_NO_PAD.encode(semops_objects::jwk::thumbprint(gamma.key.public_key()))
    );
    assert!(bundle.institutions[2].jwk_set.contains(&header));
    recheck(&mut deployment).await?;
    Ok(())
}
