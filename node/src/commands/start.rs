//! `sanspeer start`: runs the node until it is told to end.

use multiaddr::{Multiaddr, Protocol};
use sanspeer_core::identity::Identity;
use sanspeer_tokio::Node;

use super::{in_force, on_tokio};
use crate::admin::Admin;
use crate::bootstrap;
use crate::cli::{Common, StartArgs};
use crate::config::{ConfigFile, Settings};
use crate::error::Error;
use crate::{events, identity, log, pubsub, setup, signals};

pub(super) fn run(common: &Common, args: &StartArgs) -> Result<(), Error> {
    let file = ConfigFile::read_or_write(&common.data)?;
    let mut common = common.clone();
    for (key, list) in [("ListenAddresses", &args.listen), ("BootstrapPeers", &args.bootstrap)] {
        if !list.is_empty() {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            common.set.push((key.to_owned(), list.join(",")));
        }
    }
    let (mut config, mut settings) = in_force(&common, &file)?;
    if !args.topic.is_empty() {
        // Not as text: there may be commas in them.
        config.topics.clone_from(&args.topic);
        settings = Settings::check(&config, &common.data)?;
    }
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
    let node = setup::start(setup::node_config(&settings, identity)).await?;
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
    let end = signals::end_of_run().map_err(Error::Runtime)?;
    for address in &settings.listen_addresses {
        listen(node, address).await?;
    }
    for address in &settings.announce_addresses {
        // It says only that the node is gone.
        let _ = node.add_external_address(address.clone()).await;
    }
    for subscription in pubsub::subscribe(node, &settings.topics).await? {
        tokio::spawn(events::log_messages(subscription));
    }
    let config = config.without_secrets();
    let admin = Admin::start(&common.data, settings.admin_address, node.clone(), config).await?;
    for address in &settings.bootstrap_peers {
        let logged = bootstrap::logged(address.clone());
        tokio::spawn(bootstrap::keep_connected(node.clone(), address.clone(), logged));
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
