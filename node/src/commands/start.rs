//! `sanspeer start`: runs the node until it is told to end.

use std::io;

use multiaddr::{Multiaddr, Protocol};
use sanspeer_core::identity::Identity;
use sanspeer_core::mailbox::Lease;
use sanspeer_core::node::{ConnectionLimits, NodeConfig};
use sanspeer_tokio::{Config, Node};

use super::{in_force, on_tokio};
use crate::admin::Admin;
use crate::bootstrap;
use crate::cli::{Common, StartArgs};
use crate::config::{ConfigFile, Settings};
use crate::error::Error;
use crate::{events, identity, log};

pub(super) fn run(common: &Common, args: &StartArgs) -> Result<(), Error> {
    let file = ConfigFile::read_or_write(&common.data)?;
    let mut common = common.clone();
    for (key, list) in [("ListenAddresses", &args.listen), ("BootstrapPeers", &args.bootstrap)] {
        if !list.is_empty() {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            common.set.push((key.to_owned(), list.join(",")));
        }
    }
    let (config, settings) = in_force(&common, &file)?;
    log::start(settings.log_level);
    let keypair = match identity::key_in_force(&settings)? {
        Some(keypair) => keypair,
        None => identity::generate_key(&settings.private_key_file)?,
    };
    let seed = identity::random_seed()?;
    let identity = Identity::new(keypair, &seed).map_err(Error::Identity)?;
    on_tokio(serve(common, config, settings, identity))
}

async fn serve(
    common: Common,
    config: ConfigFile,
    settings: Settings,
    identity: Identity,
) -> Result<(), Error> {
    let node = sanspeer_tokio::start(node_config(&settings, identity)).map_err(Error::Start)?;
    tracing::info!("P2P: {} is {}", settings.agent_version, node.peer_id());
    let told = tokio::spawn(events::log(node.events()));
    let result = run_until_told(&common, config, &settings, &node).await;
    node.shutdown().await;
    // Ends with the node.
    let _ = told.await;
    result
}

async fn run_until_told(
    common: &Common,
    config: ConfigFile,
    settings: &Settings,
    node: &Node,
) -> Result<(), Error> {
    let end = end_of_run().map_err(Error::Runtime)?;
    for address in &settings.listen_addresses {
        listen(node, address).await?;
    }
    for address in &settings.announce_addresses {
        // It says only that the node is gone.
        let _ = node.add_external_address(address.clone()).await;
    }
    let config = config.without_secrets();
    let admin = Admin::start(&common.data, settings.admin_address, node.clone(), config).await?;
    for address in &settings.bootstrap_peers {
        tokio::spawn(bootstrap::keep_connected(node.clone(), address.clone()));
    }
    end.await;
    tracing::info!("P2P: shutting down");
    admin.stop().await;
    Ok(())
}

/// Listens, and prints where, for people and scripts.
async fn listen(node: &Node, address: &Multiaddr) -> Result<(), Error> {
    let (_, bound) = node
        .listen(address.clone())
        .await
        .map_err(|source| Error::Listen { address: address.clone(), source })?;
    println!("{}", bound.with(Protocol::P2p(node.peer_id())));
    Ok(())
}

fn node_config(settings: &Settings, identity: Identity) -> Config {
    let mut config = Config::new(identity);
    let limits = ConnectionLimits {
        max_connections: settings.high_connections,
        max_inbound: settings.max_inbound_connections,
        max_outbound: settings.max_outbound_connections,
        ..ConnectionLimits::default()
    };
    config.node = NodeConfig {
        limits,
        low_connections: settings.low_connections,
        idle_timeout: settings.idle_connection,
        lease: Lease { ping_interval: settings.ping_interval, ..Lease::default() },
        perf: settings.serve_perf,
        ..NodeConfig::default()
    };
    config.node.identify.agent.clone_from(&settings.agent_version);
    config.node.identify.protocol_version.clone_from(&settings.protocol_version);
    config
}

/// Ctrl-C, or what a service manager sends. It is listened for from this call on.
fn end_of_run() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async {
        // Without the signal there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    })
}
