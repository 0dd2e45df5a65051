//! A unary call over mutual TLS that does nothing but answer: the service's TLS configuration, message sizes and HTTP/2.

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use e2e::{deployment::Deployment, failure::Failure};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use semops_proto::{
    client::Client,
    v1::{
        self,
        cosigning_service_server::{CosigningService, CosigningServiceServer},
    },
};
use signer::config::Config;
use softhsm_setup::scheme::Role;
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_blocking,
};
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status};

use super::{CALLERS, Rate, Task, command};
use crate::{
    load::{self, Jobs},
    work,
};

struct Answer(String);

#[tonic::async_trait]
impl CosigningService for Answer {
    async fn cosign_order(
        &self,
        request: Request<v1::CosignOrderRequest>,
    ) -> Result<Response<v1::CosignOrderResponse>, Status> {
        Ok(Response::new(v1::CosignOrderResponse {
            device_id: String::new(),
            jti: String::new(),
            order_jws: request.into_inner().order_jws,
            authorization_jws: self.0.clone(),
        }))
    }

    async fn get_authorization(
        &self,
        _: Request<v1::GetAuthorizationRequest>,
    ) -> Result<Response<v1::GetAuthorizationResponse>, Status> {
        Err(Status::unimplemented("an echo"))
    }

    async fn verify_authorization(
        &self,
        _: Request<v1::VerifyAuthorizationRequest>,
    ) -> Result<Response<v1::VerifyAuthorizationResponse>, Status> {
        Err(Status::unimplemented("an echo"))
    }
}

/// Serves where the configuration says, until standard input ends.
pub(super) async fn serve(config: &Config, task: &Task) -> Result<(), Failure> {
    let listener = TcpListener::bind(config.grpc.listen).await?;
    println!("listening");
    let tls = TlsAcceptor::from(Arc::clone(&config.grpc.tls.server));
    let service = CosigningServiceServer::new(Answer("x".repeat(task.answer)));
    let mut end = spawn_blocking(|| std::io::stdin().read(&mut [0]));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                tokio::spawn(connection(tls.clone(), accepted?.0, service.clone()));
            }
            _ = &mut end => return Ok(()),
        }
    }
}

async fn connection(
    tls: TlsAcceptor,
    stream: TcpStream,
    service: CosigningServiceServer<Answer>,
) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let stream = TokioIo::new(tls.accept(stream).await?);
    let service = TowerToHyperService::new(service);
    http2::Builder::new(TokioExecutor::new())
        .serve_connection(stream, service)
        .await?;
    Ok(())
}

/// The process of the server, which ends when this is dropped.
pub(crate) struct Echo(Child);

impl Echo {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn start(task: &Task, softhsm: &Path) -> Result<Self, Failure> {
        let mut child = command(task, softhsm)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut first = [0];
        let said = child.stdout.as_mut().map(|output| output.read(&mut first));
        match said.transpose()? {
            Some(1) => Ok(Self(child)),
            _ => Err(Failure::new("the echo does not listen")),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls the echo as the service is called. Gives the processor time of the server and of the client.
///
/// # Errors
/// A call fails.
pub(crate) async fn exchange(
    echo: &Echo,
    deployment: &Deployment,
    task: &Task,
) -> Result<(Rate, Rate), Failure> {
    let clients = Arc::new(work::connections(deployment, "alfa", Role::Payments).await?);
    let order_jws = Arc::new("x".repeat(task.request));
    let call = move |caller: usize, _| {
        let client = clients.iter().cycle().nth(caller % clients.len()).cloned();
        let ask = v1::CosignOrderRequest {
            order_jws: order_jws.to_string(),
            ..Default::default()
        };
        async move { answered(client, ask).await }
    };
    let jobs = Jobs::new(usize::MAX / 2);
    let warm = Duration::from_millis(100);
    load::run(&jobs, CALLERS, warm, echo.0.id(), call.clone()).await?;
    let (level, _) = load::run(&jobs, CALLERS, task.time, echo.0.id(), call).await?;
    let rate = |cpu_us| Rate {
        per_second: level.per_second,
        cpu_us,
    };
    Ok((rate(level.server_cpu_us), rate(level.client_cpu_us)))
}

async fn answered(client: Option<Client>, ask: v1::CosignOrderRequest) -> Result<(), Failure> {
    let client = client.ok_or_else(|| Failure::new("no connection"))?;
    client.cosign_order(ask).await?;
    Ok(())
}
