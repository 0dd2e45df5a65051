//! What everybody may see: CRLs and CA certificates, the same for all, and nothing beside them.

use e2e::{deployment::Deployment, failure::Failure, recheck::recheck, refusal};
use semops_proto::v1;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use super::{House, INSTITUTIONS};

/// Paths under which there is nothing, however they are spelled.
const NOTHING: [&str; 9] = [
    "/",
    "/crl/",
    "/crl/gamma-device-ca.crl",
    "/crl/alfa-authorization.crl",
    "/ca/tls-root.cer",
    "/crl/..%2fsigner.toml",
    "/crl/%2e%2e/%2e%2e/etc/passwd",
    "/pins/alfa",
    "/signer.db",
];

#[tokio::test]
async fn crls_are_public_and_the_same_for_everybody() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let houses = House::all(&deployment).await?;
    let of = |institution: &str, authority: v1::Authority| v1::GetCrlRequest {
        institution: institution.to_owned(),
        authority: authority.into(),
        key_id: String::new(),
    };
    let mut named = vec![
        ("device-root".to_owned(), of("", v1::Authority::DeviceRoot)),
        (
            "signing-root".to_owned(),
            of("", v1::Authority::SigningRoot),
        ),
    ];
    for institution in INSTITUTIONS {
        for (ca, authority) in [
            ("device-ca", v1::Authority::DeviceCa),
            ("signing-ca", v1::Authority::SigningCa),
        ] {
            named.push((format!("{institution}-{ca}"), of(institution, authority)));
        }
    }
    for (name, ask) in named {
        let public = get(&deployment, &format!("/crl/{name}.crl")).await?;
        for house in &houses {
            for client in [&house.enrolment, &house.payments] {
                let crl = client.get_crl(ask.clone()).await?.crl;
                assert!(
                    public.ends_with(&crl) && !crl.is_empty(),
                    "{name}, {}",
                    house.name
                );
            }
        }
    }
    for house in &houses {
        let unknown = house
            .payments
            .get_crl(of("gamma", v1::Authority::DeviceCa))
            .await;
        refusal::demand(unknown, Code::NotFound, "CRL_NOT_FOUND")?;
    }
    for path in NOTHING {
        let answer = String::from_utf8_lossy(&get(&deployment, path).await?).into_owned();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "", "{path}");
    }
    recheck(&mut deployment).await.map(drop)
}

#[tokio::test]
async fn a_trust_bundle_is_that_of_the_callers_institution() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let houses = House::all(&deployment).await?;
    // beta ends its trust in alfa; what the others trust stays.
    deployment.load_next("trust", "beta", 2, |text| {
        let mut blocks = text.split("[[trusted]]");
        let head = blocks.next().unwrap().to_owned();
        blocks
            .filter(|block| !block.contains("institution = \"alfa\""))
            .fold(head, |text, block| text + "[[trusted]]" + block)
    })?;
    for house in &houses {
        let bundle = house
            .payments
            .get_trust_bundle(v1::GetTrustBundleRequest {})
            .await?;
        let trusted: Vec<_> = bundle
            .institutions
            .iter()
            .map(|one| one.institution.as_str())
            .collect();
        match house.name {
            "beta" => assert_eq!((bundle.version, trusted), (2, vec!["beta"])),
            _ => assert_eq!((bundle.version, trusted), (1, vec!["alfa", "beta"])),
        }
    }
    recheck(&mut deployment).await.map(drop)
}

/// The whole answer of plain HTTP, asked by nobody in particular.
async fn get(deployment: &Deployment, path: &str) -> Result<Vec<u8>, Failure> {
    let address = deployment.scheme().http();
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}
