//! CRLs: the same bytes over gRPC and over plain HTTP, one more soon after a revocation and few after many, judged by
//! openssl with those of the roots. Plain HTTP serves these and CA certificates, and nothing else.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use e2e::{
    customer::Customer,
    deployment::Deployment,
    failure::Failure,
    recheck::recheck,
    refusal::{demand, demand_field},
    terminal::Terminal,
    until::until,
};
use semops_pki::crl::CertificateRevocationList;
use semops_proto::{
    client::Client,
    v1::{self, Authority, RevocationReason},
};
use softhsm_setup::{directory::Hierarchy, scheme::Role};
use tonic::Code;

/// How long a CRL may take after a revocation.
const SOON: Duration = Duration::from_secs(20);

/// An answer of HTTP/1.1.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn has(&self, header: &str) -> bool {
        self.head
            .lines()
            .any(|line| line.eq_ignore_ascii_case(header))
    }
}

fn http(address: SocketAddr, method: &str, path: &str, more: &str) -> Result<Answer, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or_else(|| Failure::new("no head"))?;
    let head = String::from_utf8(answer[..end].to_vec())?;
    Ok(Answer {
        status: head.split(' ').nth(1).unwrap_or_default().parse()?,
        head,
        body: answer[end + 4..].to_vec(),
    })
}

pub(super) fn get(deployment: &Deployment, path: &str) -> Result<Answer, Failure> {
    http(deployment.scheme().http(), "GET", path, "")
}

/// What is where a certificate says.
pub(super) fn fetch(address: &str) -> Result<Vec<u8>, Failure> {
    let unreachable = || Failure::new(format!("{address} is no address of ours"));
    let rest = address.strip_prefix("http://").ok_or_else(unreachable)?;
    let (host, path) = rest.split_at(rest.find('/').ok_or_else(unreachable)?);
    let answer = http(host.parse()?, "GET", path, "")?;
    assert_eq!(answer.status, 200, "{address}");
    Ok(answer.body)
}

pub(super) async fn crl(
    client: &Client,
    institution: &str,
    authority: Authority,
) -> Result<v1::GetCrlResponse, Failure> {
    let ask = v1::GetCrlRequest {
        institution: institution.to_owned(),
        authority: authority.into(),
        key_id: String::new(),
    };
    Ok(client.get_crl(ask).await?)
}

/// The first CRL of mobilis' device CA that lists these serial numbers.
async fn listing(client: &Client, serials: &[Vec<u8>]) -> Result<v1::GetCrlResponse, Failure> {
    until("a CRL with the revoked devices", SOON, async || {
        let newest = crl(client, "mobilis", Authority::DeviceCa).await?;
        let list = CertificateRevocationList::from_der(&newest.crl)?;
        let all = serials.iter().all(|serial| list.entry(serial).is_some());
        Ok(all.then_some(newest))
    })
    .await
}

#[tokio::test]
async fn a_crl_is_the_same_over_grpc_and_http_and_openssl_accepts_it() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let auditor = deployment.client("beta", Role::Auditor).await?;
    let terminal = Terminal::new()?;
    let directory = deployment.directory();
    let mut asked = vec![
        (
            String::new(),
            Authority::DeviceRoot,
            "device-root".to_owned(),
            directory.root(Hierarchy::Device),
        ),
        (
            String::new(),
            Authority::SigningRoot,
            "signing-root".to_owned(),
            directory.root(Hierarchy::Signing),
        ),
    ];
    for institution in deployment.scheme().institutions() {
        let id = institution.id();
        for (authority, hierarchy) in [
            (Authority::DeviceCa, Hierarchy::Device),
            (Authority::SigningCa, Hierarchy::Signing),
        ] {
            let name = format!("{id}-{}-ca", hierarchy.as_str());
            asked.push((id.to_string(), authority, name, directory.ca(hierarchy, id)));
        }
    }
    for (institution, authority, name, certificate) in &asked {
        let over_grpc = crl(&auditor, institution, *authority).await?;
        let over_http = get(&deployment, &format!("/crl/{name}.crl"))?;
        assert_eq!(
            (over_http.status, &over_http.body),
            (200, &over_grpc.crl),
            "{name}"
        );
        assert!(
            over_http.has("content-type: application/pkix-crl"),
            "{}",
            over_http.head
        );

        terminal.write("a.crl", &over_grpc.crl)?;
        terminal.write("ca.pem", fs::read(certificate)?)?;
        let said =
            terminal.openssl("crl -in a.crl -inform DER -noout -CAfile ca.pem -crlnumber")?;
        assert!(said.contains("verify OK"), "{name}: {said}");
        assert!(
            said.contains(&format!("crlNumber=0x{:02X}\n", over_grpc.crl_number)),
            "{name}: {said}"
        );

        let ca = get(&deployment, &format!("/ca/{name}.cer"))?;
        assert_eq!(ca.status, 200, "{name}");
        assert!(ca.has("content-type: application/pkix-cert"), "{}", ca.head);
        terminal.write("ca.cer", &ca.body)?;
        let pem = terminal.openssl("x509 -in ca.cer -inform DER")?;
        assert_eq!(pem.as_bytes(), fs::read(certificate)?, "{name}");
    }
    // The roots are offline: what they issued at the ceremony is published, byte for byte.
    let root_crl = fs::read(directory.root_crl(Hierarchy::Device))?;
    assert_eq!(get(&deployment, "/crl/device-root.crl")?.body, root_crl);
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn plain_http_serves_nothing_else() -> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let address = deployment.scheme().http();
    for path in [
        "/",
        "/crl/",
        "/crl/gamma-device-ca.crl",
        "/crl/mobilis-device-ca",
        "/crl/mobilis-device-ca.cer",
        "/crl/mobilis-authorization.crl",
        "/crl/tls-root.crl",
        "/crl/..%2f..%2fsigner.toml",
        "/crl/../signer.db",
        "/ca/mobilis-tls-ca.cer",
        "/ca/device-root.crl",
        "/signer.toml",
        "/metrics",
        "/health",
        "/semops.signer.v1.TrustService/GetCrl",
    ] {
        let answer = get(&deployment, path)?;
        assert_eq!((answer.status, answer.body.len()), (404, 0), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = http(
            address,
            method,
            "/crl/device-root.crl",
            "Content-Length: 0\r\n",
        )?;
        assert_eq!(answer.status, 405, "{method}");
    }
    let head = http(address, "HEAD", "/crl/device-root.crl", "")?;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let known = head
        .head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap()
        .to_owned();
    let not_modified = http(
        address,
        "GET",
        "/crl/device-root.crl",
        &format!("If-None-Match: {known}\r\n"),
    )?;
    assert_eq!((not_modified.status, not_modified.body.len()), (304, 0));

    let auditor = deployment.client("beta", Role::Auditor).await?;
    let ask = |institution: &str, authority: i32| {
        auditor.get_crl(v1::GetCrlRequest {
            institution: institution.to_owned(),
            authority,
            key_id: String::new(),
        })
    };
    let (ca, root) = (
        i32::from(Authority::DeviceCa),
        i32::from(Authority::DeviceRoot),
    );
    demand(ask("gamma", ca).await, Code::NotFound, "CRL_NOT_FOUND")?;
    demand_field(ask("mobilis", root).await, "INVALID_FIELD", "institution")?;
    demand_field(ask("", ca).await, "INVALID_FIELD", "institution")?;
    for authority in [0, 5, -1] {
        demand_field(
            ask("mobilis", authority).await,
            "INVALID_FIELD",
            "authority",
        )?;
    }
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn a_revocation_is_in_the_next_crl_with_its_reason_and_openssl_refuses_the_phone()
-> Result<(), Failure> {
    let mut deployment = Deployment::new().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let customer = Customer::enrolled_by(&mobilis).await?;
    let bystander = Customer::enrolled_by(&mobilis).await?;
    let before = crl(&mobilis, "mobilis", Authority::DeviceCa).await?;
    let alfas = crl(&mobilis, "alfa", Authority::DeviceCa).await?;
    customer
        .revoked_by(&mobilis, RevocationReason::KeyCompromise)
        .await?;
    let leaf = &customer.phone.chain()?[0];
    let after = listing(&mobilis, &[leaf.serial().to_vec()]).await?;
    assert!(after.crl_number > before.crl_number);
    // Nobody else's CRL is touched by it.
    assert_eq!(crl(&mobilis, "alfa", Authority::DeviceCa).await?, alfas);

    let terminal = Terminal::new()?;
    let directory = deployment.directory();
    terminal.write("root.pem", fs::read(directory.root(Hierarchy::Device))?)?;
    terminal.write("root.crl", fs::read(directory.root_crl(Hierarchy::Device))?)?;
    terminal.write("before.crl", &before.crl)?;
    terminal.write("after.crl", &after.crl)?;
    for (name, owner) in [("revoked.pem", &customer), ("good.pem", &bystander)] {
        let chain: Vec<_> = owner
            .phone
            .chain()?
            .iter()
            .map(|c| c.der().to_vec())
            .collect();
        terminal.write_chain(name, &chain)?;
    }
    let verify = |crl: &str, name: &str| {
        terminal.try_openssl(&format!(
            "verify -x509_strict -crl_check_all -CAfile root.pem -CRLfile root.crl -CRLfile {crl} -untrusted {name} {name}"
        ))
    };
    for (crl, name) in [
        ("before.crl", "revoked.pem"),
        ("before.crl", "good.pem"),
        ("after.crl", "good.pem"),
    ] {
        assert_eq!(verify(crl, name)?.out, format!("{name}: OK\n"), "{crl}");
    }
    let refused = verify("after.crl", "revoked.pem")?;
    // Revoked, and nothing else is wrong.
    let errors: Vec<&str> = refused
        .err
        .lines()
        .filter(|line| line.contains(" depth "))
        .collect();
    assert_eq!(
        errors,
        ["error 23 at 0 depth lookup: certificate revoked"],
        "{refused:?}"
    );
    let text = terminal.openssl("crl -in after.crl -inform DER -noout -text")?;
    for word in [
        "Version 2",
        "ecdsa-with-SHA256",
        "Key Compromise",
        "X509v3 CRL Number",
        "Authority Key Identifier",
    ] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    recheck(&mut deployment).await?;
    Ok(())
}

#[tokio::test]
async fn many_revocations_make_few_crls() -> Result<(), Failure> {
    const MANY: usize = 40;
    let mut deployment = Deployment::new().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    let mut customers = Vec::new();
    for _ in 0..MANY {
        customers.push(Customer::enrolled_by(&mobilis).await?);
    }
    let before = crl(&mobilis, "mobilis", Authority::DeviceCa)
        .await?
        .crl_number;
    let mut calls = tokio::task::JoinSet::new();
    let mut serials = Vec::new();
    for customer in customers {
        serials.push(customer.phone.chain()?[0].serial().to_vec());
        let mobilis = mobilis.clone();
        calls.spawn(async move {
            customer
                .revoked_by(&mobilis, RevocationReason::Superseded)
                .await
        });
    }
    calls
        .join_all()
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let last = listing(&mobilis, &serials).await?;
    let made = usize::try_from(last.crl_number - before)?;
    assert!(
        (1..=MANY / 2).contains(&made),
        "{made} CRLs for {MANY} revocations"
    );
    assert_eq!(
        CertificateRevocationList::from_der(&last.crl)?
            .entries()
            .len(),
        MANY
    );

    // Numbers rise through a restart, and nothing is forgotten.
    deployment.kill()?;
    deployment.start().await?;
    let mobilis = deployment.client("mobilis", Role::Enrolment).await?;
    assert_eq!(crl(&mobilis, "mobilis", Authority::DeviceCa).await?, last);
    let one_more = Customer::enrolled_by(&mobilis).await?;
    one_more
        .revoked_by(&mobilis, RevocationReason::Unspecified)
        .await?;
    serials.push(one_more.phone.chain()?[0].serial().to_vec());
    assert!(listing(&mobilis, &serials).await?.crl_number > last.crl_number);
    recheck(&mut deployment).await?;
    Ok(())
}
