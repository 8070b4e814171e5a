//! [`Client`]: how another process of ours asks a running node.

use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::file::AdminFile;
use super::report::StatusReport;
use super::request::{PublishRequest, Refusal, SubscribeRequest};
use crate::error::Error;
use crate::pubsub::{Content, Heard, PublishReport};

/// A node on this machine answers well within it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A running node, as another process reaches it.
pub(crate) struct Client {
    file: AdminFile,
}

/// The node that runs in this data folder, with its state; `None` if none does. A file that a node
/// left behind is ignored: nobody answers there, or somebody who does not know its token.
pub(crate) fn running(data: &Path) -> Option<(Client, StatusReport)> {
    let file = AdminFile::read(data)?;
    if !file.address.ip().is_loopback() {
        return None;
    }
    let client = Client { file };
    let report = client.status()?;
    Some((client, report))
}

impl Client {
    fn status(&self) -> Option<StatusReport> {
        agent(Some(TIMEOUT))
            .get(self.url("status"))
            .header("Authorization", self.authorization())
            .call()
            .ok()?
            .body_mut()
            .read_json()
            .ok()
    }

    /// Publishes a message, which may wait for so many seconds for a peer in the topic.
    pub(crate) fn publish(
        &self,
        topic: &str,
        data: &[u8],
        wait_seconds: u32,
    ) -> Result<PublishReport, Error> {
        let content = Content::in_base64(data);
        let request = PublishRequest { topic: topic.to_owned(), content, wait_seconds };
        let timeout = Duration::from_secs(wait_seconds.into()) + TIMEOUT;
        read(self.post("publish", Some(timeout), &request)?)
    }

    /// Joins topics, and gives what is heard there until it cannot any more.
    pub(crate) fn subscribe(
        &self,
        topics: &[String],
    ) -> Result<impl Iterator<Item = Heard> + use<>, Error> {
        let request = SubscribeRequest { topics: topics.to_vec() };
        let response = self.post("subscribe", None, &request)?;
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        Ok(lines.map_while(|line| serde_json::from_str(&line.ok()?).ok()))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.file.address)
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.file.token)
    }

    fn post(
        &self,
        path: &str,
        timeout: Option<Duration>,
        request: &impl Serialize,
    ) -> Result<Response<Body>, Error> {
        let response = agent(timeout)
            .post(self.url(path))
            .header("Authorization", self.authorization())
            .send_json(request)
            .map_err(unanswered)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        match read::<Refusal>(response) {
            Ok(refusal) => Err(Error::Refused(refusal.error)),
            Err(_) => Err(Error::NodeAnswer(format!("status {status}"))),
        }
    }
}

/// Waits for an answer as long as `timeout`, and for its beginning at most [`TIMEOUT`] if that is
/// `None`.
fn agent(timeout: Option<Duration>) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(timeout)
        .timeout_connect(Some(TIMEOUT))
        .timeout_recv_response(Some(timeout.unwrap_or(TIMEOUT)))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

fn read<T: DeserializeOwned>(mut response: Response<Body>) -> Result<T, Error> {
    response.body_mut().read_json().map_err(unanswered)
}

fn unanswered(error: ureq::Error) -> Error {
    Error::NodeAnswer(error.to_string())
}
