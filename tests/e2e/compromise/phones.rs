//! Phones of a bank's own, before and after they have another certificate, and others that pay all the while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use e2e::{
    customer::{Customer, order},
    deployment::Deployment,
    failure::Failure,
    refusal::demand,
    terminal::Terminal,
    until::until,
};
use semops_objects::{AuthorizationJws, key::KeyId};
use semops_pki::{certificate::Certificate, crl::CertificateRevocationList};
use semops_proto::{client::Client, v1};
use softhsm_setup::{directory::Hierarchy, scheme::Role};
use tokio::{task::JoinHandle, time::interval};
use tonic::Code;

use super::SOON;
use crate::crls;

/// From one order of a phone to its next.
const PACE: Duration = Duration::from_millis(20);
/// Phones that ask at a time.
const LANES: usize = 8;
/// So many of them are looked at with openssl, and pay.
const SAMPLE: usize = 10;

pub(super) struct Phones {
    customers: Vec<Customer>,
    paid: usize,
}

impl Phones {
    /// Enrolled and accepted by alfa.
    pub(super) async fn of_alfa(deployment: &Deployment, phones: usize) -> Result<Self, Failure> {
        let alfa = deployment.client("alfa", Role::Enrolment).await?;
        let mut lanes = Vec::new();
        for _ in 0..LANES {
            let alfa = alfa.clone();
            lanes.push(tokio::spawn(async move {
                let mut customers = Vec::new();
                for _ in 0..phones / LANES {
                    let customer = Customer::enrolled_by(&alfa).await?;
                    customer.accepted_by(&alfa).await?;
                    customers.push(customer);
                }
                Ok::<_, Failure>(customers)
            }));
        }
        let mut customers = Vec::new();
        for lane in lanes {
            customers.extend(lane.await??);
        }
        assert_eq!(customers.len(), phones);
        Ok(Self { customers, paid: 0 })
    }

    pub(super) fn paid(&self) -> usize {
        self.paid
    }

    /// By openssl the new certificates are good and those before revoked, by what both CAs have published.
    pub(super) async fn verify(&self, deployment: &Deployment, old: KeyId) -> Result<(), Failure> {
        let issuer = deployment.client("alfa", Role::Enrolment).await?;
        let terminal = Terminal::new()?;
        let directory = deployment.directory();
        std::fs::copy(directory.root(Hierarchy::Device), terminal.path("root.pem"))?;
        std::fs::copy(
            directory.root_crl(Hierarchy::Device),
            terminal.path("root.crl"),
        )?;
        for customer in self.customers.iter().step_by(self.customers.len() / SAMPLE) {
            let before = customer.phone.chain()?;
            let now = shown(&issuer, customer).await?;
            assert_eq!(KeyId::of(before[1].public_key()), old);
            assert_ne!(KeyId::of(now[1].public_key()), old);
            assert_eq!(before[0].public_key(), now[0].public_key());
            assert_eq!(before[0].subject_der(), now[0].subject_der());
            assert_ne!(before[0].serial(), now[0].serial());
            let listed = [(before, true), (now.as_slice(), false)];
            for (chain, listed) in listed {
                let said = verified(deployment, &terminal, chain, listed).await?;
                assert_eq!(said.contains("error 23"), listed, "{said}");
                assert_eq!(said.contains("leaf.pem: OK"), !listed, "{said}");
            }
        }
        Ok(())
    }

    /// With the certificate before an order is refused; with the one that the issuer shows it is taken.
    pub(super) async fn pay_on(&mut self, deployment: &Deployment) -> Result<(), Failure> {
        let issuer = deployment.client("alfa", Role::Enrolment).await?;
        let bank = deployment.client("alfa", Role::Payments).await?;
        let step = self.customers.len() / SAMPLE;
        for customer in self.customers.iter_mut().step_by(step) {
            let wanted = order("0.01", "EUR")?;
            let refused = bank.cosign_order(customer.asks(&wanted)?).await;
            demand(refused, Code::FailedPrecondition, "DEVICE_REVOKED")?;
            let chain = shown(&issuer, customer).await?;
            let chain = chain.iter().map(|one| one.der().to_vec());
            customer.phone.take_certificate(&v1::EnrollDeviceResponse {
                device_id: customer.device_id(),
                certificate_chain: chain.collect(),
            })?;
            let answer = bank.cosign_order(customer.asks(&wanted)?).await?;
            AuthorizationJws::parse(&answer.authorization_jws)?;
            self.paid += 1;
        }
        Ok(())
    }
}

/// The chain that the issuer is shown.
async fn shown(issuer: &Client, customer: &Customer) -> Result<Vec<Certificate>, Failure> {
    let device_id = customer.device_id();
    let shown = issuer
        .get_device(v1::GetDeviceRequest { device_id })
        .await?;
    let issued = shown.device.and_then(|device| device.issued);
    let chain = issued.unwrap_or_default().certificate_chain;
    let chain = chain.iter().map(|der| Certificate::from_der(der));
    Ok(chain.collect::<Result<_, _>>()?)
}

/// What openssl says of a path with the CRLs of its CA and of the root, once the CA's lists it if it is to.
async fn verified(
    deployment: &Deployment,
    terminal: &Terminal,
    chain: &[Certificate],
    listed: bool,
) -> Result<String, Failure> {
    let base = format!("http://{}", deployment.scheme().http());
    let address = &chain[0].crl_addresses()[0];
    let path = address.strip_prefix(&base).unwrap_or_default();
    let crl = until("the CRL", SOON, async || {
        let answer = crls::get(deployment, path)?;
        let Ok(list) = CertificateRevocationList::from_der(&answer.body) else {
            return Ok(None);
        };
        let there = list.entry(chain[0].serial()).is_some();
        Ok((there == listed).then_some(answer.body))
    })
    .await?;
    terminal.write("ca.crl", crl)?;
    terminal.write("leaf.pem", chain[0].to_pem())?;
    terminal.write("ca.pem", chain[1].to_pem())?;
    let said = terminal.try_openssl(
        "verify -x509_strict -crl_check_all -CAfile root.pem -untrusted ca.pem -CRLfile root.crl -CRLfile ca.crl leaf.pem",
    )?;
    Ok(said.all())
}

/// A phone of another issuer that pays until it is told to end.
pub(super) struct Paying {
    over: Arc<AtomicBool>,
    task: JoinHandle<Result<usize, Failure>>,
}

impl Paying {
    pub(super) async fn start(deployment: &Deployment) -> Result<Self, Failure> {
        let over = Arc::new(AtomicBool::new(false));
        let bank = deployment.client("alfa", Role::Payments).await?;
        let customer = Customer::of_alfa(deployment).await?;
        let ended = Arc::clone(&over);
        let task = tokio::spawn(async move {
            let (mut paid, mut pace) = (0, interval(PACE));
            while !ended.load(Ordering::Relaxed) {
                let ask = customer.asks(&order("0.01", "EUR")?)?;
                loop {
                    pace.tick().await;
                    match bank.cosign_order(ask.clone()).await {
                        Ok(_) => break,
                        // While the service is away the same is asked again.
                        Err(status)
                            if matches!(status.code(), Code::Unavailable | Code::Cancelled) => {}
                        Err(status) => return Err(status.into()),
                    }
                }
                paid += 1;
            }
            Ok(paid)
        });
        Ok(Self { over, task })
    }

    /// How many orders it paid; none was refused.
    pub(super) async fn end(self) -> Result<usize, Failure> {
        self.over.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
