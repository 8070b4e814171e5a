//! [`Admin`]: the HTTP of a running node.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use data_encoding::HEXLOWER;
use multiaddr::Protocol;
use sanspeer_core::identity::PeerId;
use sanspeer_tokio::{GossipError, Node};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::file::AdminFile;
use super::report::{StatusReport, TopicReport};
use super::topics;
use crate::config::ConfigFile;
use crate::error::Error;
use crate::identity;

/// The admin port, until [`Admin::stop`].
pub(crate) struct Admin {
    data: PathBuf,
    file: AdminFile,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

pub(super) struct Shared {
    pub(super) node: Node,
    config: ConfigFile,
    token: String,
    stop: watch::Receiver<bool>,
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
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared { node, config, token, stop: stopped });
        let routes = Router::new()
            .route("/status", get(status))
            .route("/publish", post(topics::publish))
            .route("/subscribe", post(topics::subscribe))
            .layer(from_fn_with_state(Arc::clone(&shared), authorize))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            let stopped = async move { shared.stopped().await };
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
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

impl Shared {
    /// Returns when nothing more is to be answered.
    pub(super) async fn stopped(&self) {
        // If nobody can say so any more, it is so.
        let _ = self.stop.clone().wait_for(|stopped| *stopped).await;
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
    let topics = topic_reports(&shared.node).await;
    let topics = topics.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let us = shared.node.peer_id();
    let addresses = addresses.listening.into_iter().chain(addresses.external);
    Ok(Json(StatusReport {
        running: true,
        peer_id: Some(us.to_string()),
        config: shared.config.clone(),
        addresses: addresses.map(|one| one.with(Protocol::P2p(us)).to_string()).collect(),
        peers: peers.into_iter().map(Into::into).collect(),
        topics,
    }))
}

async fn topic_reports(node: &Node) -> Result<Vec<TopicReport>, GossipError> {
    let mut reports = Vec::new();
    let words = |peers: Vec<PeerId>| peers.iter().map(ToString::to_string).collect();
    for topic in node.topics().await? {
        reports.push(TopicReport {
            topic: topic.as_str().to_owned(),
            peers: words(node.topic_peers(&topic).await?),
            mesh_peers: words(node.mesh_peers(&topic).await?),
        });
    }
    Ok(reports)
}
