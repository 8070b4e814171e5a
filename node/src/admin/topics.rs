//! Publishing and subscribing with a running node.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_core::Stream;
use sanspeer_core::gossip::Topic;
use tokio::sync::mpsc;

use super::request::{PublishRequest, Refusal, SubscribeRequest};
use super::server::Shared;
use crate::pubsub::{self, Heard, PublishReport, WAITING_MESSAGES, pass_on};

/// A refusal, as it is answered.
type Refused = (StatusCode, Json<Refusal>);

pub(super) async fn publish(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<PublishRequest>,
) -> Result<Json<PublishReport>, Refused> {
    let topic = topic(&request.topic)?;
    let data = request.content.into_bytes();
    let data = data.ok_or_else(|| refused(StatusCode::BAD_REQUEST, "no base64"))?;
    let patience = Duration::from_secs(request.wait_seconds.into());
    tokio::select! {
        result = pubsub::publish(&shared.node, &topic, data.into(), patience) => match result {
            Ok(report) => Ok(Json(report)),
            Err(failure) => Err(refused(StatusCode::CONFLICT, failure)),
        },
        () = shared.stopped() => {
            Err(refused(StatusCode::SERVICE_UNAVAILABLE, "the node is shutting down"))
        }
    }
}

pub(super) async fn subscribe(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<SubscribeRequest>,
) -> Result<Response, Refused> {
    let topics: Result<Vec<Topic>, Refused> =
        request.topics.iter().map(|text| topic(text)).collect();
    let subscriptions = pubsub::subscribe(&shared.node, &topics?).await;
    let subscriptions = subscriptions.map_err(|error| refused(StatusCode::CONFLICT, error))?;
    let (to, heard) = mpsc::channel(WAITING_MESSAGES);
    for subscription in subscriptions {
        let (shared, to) = (Arc::clone(&shared), to.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = pass_on(subscription, to) => {}
                () = shared.stopped() => {}
            }
        });
    }
    Ok(Body::from_stream(Lines(heard)).into_response())
}

fn topic(text: &str) -> Result<Topic, Refused> {
    Topic::new(text).map_err(|error| refused(StatusCode::BAD_REQUEST, error))
}

fn refused(status: StatusCode, why: impl ToString) -> Refused {
    (status, Json(Refusal { error: why.to_string() }))
}

/// What is heard, a line each.
struct Lines(mpsc::Receiver<Heard>);

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|heard| {
            let mut line = serde_json::to_vec(&heard?).expect("strings and numbers");
            line.push(b'\n');
            Some(Ok(line.into()))
        })
    }
}
