//! [`Admin`]: the HTTP of a running node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use multiaddr::Protocol;
use sanspeer_tokio::Node;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::file::AdminFile;
use super::report::StatusReport;
use crate::config::ConfigFile;
use crate::error::Error;
use crate::identity;

/// The admin port, until [`Admin::stop`].
pub(crate) struct Admin {
    data: PathBuf,
    file: AdminFile,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

struct Shared {
    node: Node,
    config: ConfigFile,
    token: String,
}

impl Admin {
    /// Answers on `address`, and writes `admin.json`.
    pub(crate) async fn start(
        data: &Path,
        address: SocketAddr,
        node: Node,
        config: ConfigFile,
    ) -> Result<Admin, Error> {
        let token = HEXLOWER.encode(identity::random_seed()?.expose());
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = bind.await.map_err(|source| Error::Admin { address, source })?;
        let file = AdminFile { address, token: token.clone() };
        file.write(data).map_err(Error::file("write", AdminFile::path(data)))?;
        let shared = Arc::new(Shared { node, config, token });
        let routes = Router::new()
            .route("/status", get(status))
            .layer(from_fn_with_state(Arc::clone(&shared), authorize))
            .with_state(shared);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stopped).await
            {
                tracing::error!("P2P: the admin port failed: {error}");
            }
        });
        Ok(Admin { data: data.to_owned(), file, stop, task })
    }

    /// Answers no more.
    pub(crate) async fn stop(self) {
        self.file.remove(&self.data);
        // The task may have ended by itself.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Lets those in who know the token.
async fn authorize(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let expected = format!("Bearer {}", shared.token);
    match request.headers().get(header::AUTHORIZATION) {
        Some(given) if equal(given.as_bytes(), expected.as_bytes()) => Ok(next.run(request).await),
        Some(_) | None => Err(StatusCode::UNAUTHORIZED),
    }
}

/// Takes as long wherever the difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

async fn status(State(shared): State<Arc<Shared>>) -> Result<Json<StatusReport>, StatusCode> {
    let gone = |_| StatusCode::SERVICE_UNAVAILABLE;
    let addresses = shared.node.addresses().await.map_err(gone)?;
    let peers = shared.node.peers().await.map_err(gone)?;
    let us = shared.node.peer_id();
    let addresses = addresses.listening.into_iter().chain(addresses.external);
    Ok(Json(StatusReport {
        running: true,
        peer_id: Some(us.to_string()),
        config: shared.config.clone(),
        addresses: addresses.map(|one| one.with(Protocol::P2p(us)).to_string()).collect(),
        peers: peers.into_iter().map(Into::into).collect(),
    }))
}
