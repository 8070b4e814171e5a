//! `sanspeer status`: the configuration and, while the node runs, its topics and peers.

use super::in_force;
use crate::admin::{PeerReport, StatusReport, TopicReport, running};
use crate::cli::Common;
use crate::config::ConfigFile;
use crate::error::Error;
use crate::identity;

pub(super) fn run(common: &Common, json: bool) -> Result<(), Error> {
    let report = match running(&common.data) {
        Some((_, report)) => report,
        None => stopped(common)?,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(Error::Output)?);
    } else {
        print!("{}", as_text(&report));
    }
    Ok(())
}

fn stopped(common: &Common) -> Result<StatusReport, Error> {
    let file = ConfigFile::read(&common.data)?.unwrap_or_default();
    let (config, settings) = in_force(common, &file)?;
    let keypair = identity::key_in_force(&settings)?;
    Ok(StatusReport {
        running: false,
        peer_id: keypair.map(|keypair| keypair.public().to_peer_id().to_string()),
        config: config.without_secrets(),
        addresses: Vec::new(),
        peers: Vec::new(),
        topics: Vec::new(),
    })
}

fn as_text(report: &StatusReport) -> String {
    let mut lines = vec![
        format!("Node:    {}", if report.running { "running" } else { "stopped" }),
        format!("Peer ID: {}", report.peer_id.as_deref().unwrap_or("none yet")),
    ];
    let lists = [
        ("Listen addresses", &report.config.listen_addresses),
        ("Bootstrap peers", &report.config.bootstrap_peers),
        ("Reached at", &report.addresses),
    ];
    for (title, list) in lists {
        if report.running || title != "Reached at" {
            lines.push(format!("{title}:"));
            lines.extend(if list.is_empty() { vec!["  none".to_owned()] } else { indented(list) });
        }
    }
    lines.push("Topics:".to_owned());
    let topics: Vec<String> = match report.running {
        true => report.topics.iter().map(topic_line).collect(),
        false => report.config.topics.iter().map(|topic| format!("{topic:?}")).collect(),
    };
    lines.extend(if topics.is_empty() { vec!["  none".to_owned()] } else { indented(&topics) });
    if report.running {
        lines.push(format!("Peers: {}", report.peers.len()));
        lines.extend(report.peers.iter().map(peer_line));
    }
    lines.join("\n") + "\n"
}

fn indented(list: &[String]) -> Vec<String> {
    list.iter().map(|line| format!("  {line}")).collect()
}

fn topic_line(topic: &TopicReport) -> String {
    let (peers, mesh) = (topic.peers.len(), topic.mesh_peers.len());
    format!("{:?}  peers: {peers}  in the mesh: {mesh}", topic.topic)
}

fn peer_line(peer: &PeerReport) -> String {
    let direction = if peer.inbound { "in" } else { "out" };
    let rtt = peer.rtt_ms.map_or("-".to_owned(), |rtt| format!("{rtt:.1} ms"));
    let agent = peer.agent.as_deref().unwrap_or("-");
    format!("  {}  {}  {direction}  {rtt}  {agent:?}", peer.peer_id, peer.address)
}
