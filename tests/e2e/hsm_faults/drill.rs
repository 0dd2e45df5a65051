//! A running service over the fault module, and what must hold of it whatever was done to the token of alfa.

use std::{cell::Cell, time::Duration};

use e2e::{
    customer::{Customer, order, order_from},
    deployment::Deployment,
    failure::Failure,
    faults::{Fault, Faults},
    numbers::{Numbers, ask},
    recheck::{Checked, recheck},
    story::Callers,
    until::until,
};
use rustix::process::Pid;
use semops_objects::Order;
use semops_proto::v1;
use softhsm_setup::scheme::{Role, Scheme};
use tonic::Status;

use crate::bad_input::row::Row;

pub(crate) const SOON: Duration = Duration::from_secs(120);
const AT_BETA: usize = 3;
/// The longest time that the service gives a request, in seconds, as the metrics spell it.
const LONGEST: &str = "10";

/// A scheme whose orders and authorizations live long enough for any fault.
fn scheme() -> String {
    Scheme::EXAMPLE
        .replace("acceptance_seconds = 60", "acceptance_seconds = 600")
        .replace("orders_per_day = 50", "orders_per_day = 100000")
}

/// A deployment of it with these changes of its configuration, over the fault module with these rules. It does not run yet.
pub(crate) fn prepared(
    configuration: &[(&str, &str)],
    rules: &[Fault],
) -> Result<(Deployment, Faults), Failure> {
    let deployment = Deployment::prepare(&scheme(), &mut |_| {})?;
    for (from, to) in configuration {
        deployment.configure(from, to)?;
    }
    let faults = Faults::under(&deployment)?;
    faults.set(rules)?;
    Ok((deployment, faults))
}

/// The service, its callers, and a customer of both banks.
pub(crate) struct Drill {
    pub(crate) deployment: Deployment,
    pub(crate) faults: Faults,
    pub(crate) callers: Callers,
    pub(crate) customer: Customer,
    process: (Pid, u64),
    at_beta: Cell<usize>,
}

impl Drill {
    pub(crate) async fn begin() -> Result<Self, Failure> {
        Self::with(&[], &[]).await
    }

    /// With the first CRLs made, so that the token of alfa does nothing but what a scenario asks for.
    pub(crate) async fn with(
        configuration: &[(&str, &str)],
        rules: &[Fault],
    ) -> Result<Self, Failure> {
        let (mut deployment, faults) = prepared(configuration, rules)?;
        deployment.start().await?;
        let callers = Callers::connect(&deployment).await?;
        let customer = Customer::of_alfa(&deployment).await?;
        customer.accepted_by(&callers.beta_enrolment).await?;
        let process = process(&mut deployment)?;
        let drill = Self {
            deployment,
            faults,
            callers,
            customer,
            process,
            at_beta: Cell::new(0),
        };
        until("the first CRLs", SOON, async || {
            let made = |institution| drill.number("semops_hsm_signatures_total", institution);
            Ok(((made("alfa")?, made("beta")?, made("mobilis")?) == (2, 2, 3)).then_some(()))
        })
        .await?;
        Ok(drill)
    }

    /// A new order of the customer at alfa.
    pub(crate) fn order(&self) -> Result<(Order, v1::CosignOrderRequest), Failure> {
        let order = order("0.01", "CNY")?;
        let order = Order {
            exp: order.iat + 600,
            ..order
        };
        let ask = self.customer.asks(&order)?;
        Ok((order, ask))
    }

    pub(crate) async fn cosign(
        &self,
        ask: &v1::CosignOrderRequest,
    ) -> Result<v1::CosignOrderResponse, Status> {
        self.callers.alfa_payments.cosign_order(ask.clone()).await
    }

    /// So many new orders are co-signed at alfa.
    pub(crate) async fn answered(&self, orders: usize) -> Result<(), Failure> {
        for _ in 0..orders {
            self.cosign(&self.order()?.1).await?;
        }
        Ok(())
    }

    /// So many new orders are refused with this row; gives them, to be asked for again.
    pub(crate) async fn refused(
        &self,
        orders: usize,
        row: &Row,
    ) -> Result<Vec<v1::CosignOrderRequest>, Failure> {
        let mut refused = Vec::new();
        for _ in 0..orders {
            let (_, ask) = self.order()?;
            row.refuses(self.cosign(&ask).await)?;
            refused.push(ask);
        }
        Ok(refused)
    }

    /// What was refused or came late is co-signed, and the same each time.
    pub(crate) async fn answered_later(
        &self,
        asks: &[v1::CosignOrderRequest],
    ) -> Result<(), Failure> {
        for ask in asks {
            let answer = self.cosign(ask).await?;
            assert_eq!(self.cosign(ask).await?, answer);
        }
        Ok(())
    }

    /// Every order at beta is co-signed.
    pub(crate) async fn beta_notices_nothing(&self) -> Result<(), Failure> {
        for _ in 0..AT_BETA {
            let ask = self.customer.asks(&order_from("beta", "0.01", "CNY")?)?;
            self.callers.beta_payments.cosign_order(ask).await?;
            self.at_beta.set(self.at_beta.get() + 1);
        }
        Ok(())
    }

    /// A number of an institution's token.
    pub(crate) fn number(&self, name: &str, institution: &str) -> Result<u64, Failure> {
        let labels = [("institution", institution)];
        Ok(Numbers::of(&self.deployment)?.count(name, &labels))
    }

    /// Waits until the health of alfa's token is `word`, in the numbers and as alfa's auditor is told it; gives what the
    /// auditor reads.
    pub(crate) async fn health_is(&self, word: &str) -> Result<String, Failure> {
        let auditor = self.deployment.client("alfa", Role::Auditor).await?;
        until(&format!("the health {word}"), SOON, async || {
            if !self.shows("alfa", word)? {
                return Ok(None);
            }
            let status = auditor.get_status(v1::GetStatusRequest {}).await?;
            let token = status.token.unwrap_or_default();
            let said = token.health().as_str_name().ends_with(word);
            Ok(said.then_some(token.health_detail))
        })
        .await
    }

    fn shows(&self, institution: &str, word: &str) -> Result<bool, Failure> {
        let labels = [("institution", institution), ("reason", word)];
        Ok(Numbers::of(&self.deployment)?.count("semops_hsm_health", &labels) == 1)
    }

    /// After a new start of the service that a person has made.
    pub(crate) async fn connect_again(&mut self) -> Result<(), Failure> {
        self.callers = Callers::connect(&self.deployment).await?;
        self.process = process(&mut self.deployment)?;
        Ok(())
    }

    /// The service takes requests, whatever one token does.
    pub(crate) async fn is_ready(&self) -> Result<(), Failure> {
        assert!(self.deployment.is_healthy().await);
        let ready = ask(self.deployment.scheme().admin(), "GET", "/readyz")?;
        assert_eq!(ready.status, 200, "{}", ready.body);
        Ok(())
    }

    /// What must hold at the end; `authorizations` are alfa's, and all of them were co-signed.
    pub(crate) async fn end(self, authorizations: usize) -> Result<(), Failure> {
        let checked = self.checked(authorizations).await?;
        assert_eq!(checked.unsigned, 0);
        Ok(())
    }

    /// The same where orders may have ended without a signature.
    pub(crate) async fn checked(mut self, authorizations: usize) -> Result<Checked, Failure> {
        self.beta_notices_nothing().await?;
        self.is_ready().await?;
        assert_eq!(process(&mut self.deployment)?, self.process);
        let numbers = Numbers::of(&self.deployment)?;
        let late = numbers.count("semops_rpc_duration_seconds_count", &[])
            - numbers.count("semops_rpc_duration_seconds_bucket", &[("le", LONGEST)]);
        assert_eq!(late, 0, "requests past their time");
        assert_eq!(self.number("semops_hsm_failures_total", "beta")?, 0);
        assert_eq!(self.number("semops_hsm_logins_total", "beta")?, 1);
        assert!(self.shows("beta", "SERVING")?);
        let checked = recheck(&mut self.deployment).await?;
        assert_eq!(checked.authorizations, authorizations + self.at_beta.get());
        Ok(checked)
    }
}

/// The process that serves: its id, and when it says that it began.
fn process(deployment: &mut Deployment) -> Result<(Pid, u64), Failure> {
    let server = deployment.server()?;
    server.still_runs()?;
    let pid = server.pid();
    let since = Numbers::of(deployment)?.count("semops_process_start_time_seconds", &[]);
    Ok((pid, since))
}
