//! Ping and identify, beside the raw streams, and what they found out.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{PeerId, identify, ping};

use super::behaviour::Behaviour;

/// What identify says of the network.
const PROTOCOL_VERSION: &str = "interop/1.0.0";

/// What identify says of the program.
pub(crate) const AGENT: &str = "rust-libp2p-peer/0.57.1";

/// The raw streams, and ping and identify if wanted.
#[derive(NetworkBehaviour)]
pub(super) struct Whole {
    pub(super) streams: Behaviour,
    identify: Toggle<identify::Behaviour>,
    ping: Toggle<ping::Behaviour>,
}

impl Whole {
    pub(super) fn new(streams: Behaviour, introduces: bool, key: &Keypair) -> Self {
        let identify = introduces.then(|| {
            let config = identify::Config::new(PROTOCOL_VERSION.to_owned(), key.public());
            identify::Behaviour::new(config.with_agent_version(AGENT.to_owned()))
        });
        let ping = introduces.then(ping::Behaviour::default);
        Whole { streams, identify: identify.into(), ping: ping.into() }
    }
}

/// What a remote said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identified {
    pub(crate) agent: String,
    pub(crate) protocols: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Introduction {
    identified: Option<Identified>,
    rtt: Option<Duration>,
}

/// What is known of remotes, and a way to wait for it.
#[derive(Default)]
pub(super) struct Introductions {
    known: Mutex<BTreeMap<PeerId, Introduction>>,
    changed: Condvar,
}

impl Introductions {
    pub(super) fn hear(&self, event: WholeEvent) {
        match event {
            WholeEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                let protocols = info.protocols.iter().map(ToString::to_string).collect();
                let identified = Identified { agent: info.agent_version, protocols };
                self.change(peer_id, |known| known.identified = Some(identified));
            }
            WholeEvent::Ping(ping::Event { peer, result: Ok(rtt), .. }) => {
                self.change(peer, |known| known.rtt = Some(rtt));
            }
            // A failure is the absence of what is waited for.
            WholeEvent::Identify(_) | WholeEvent::Ping(_) => {}
            WholeEvent::Streams(never) => match never {},
        }
    }

    fn change(&self, peer: PeerId, f: impl FnOnce(&mut Introduction)) {
        let mut known = self.known.lock().expect("no panic while the peers are locked");
        f(known.entry(peer).or_default());
        drop(known);
        self.changed.notify_all();
    }

    /// Waits until `peer` has answered a ping and said who it is.
    pub(super) fn wait(
        &self,
        peer: PeerId,
        deadline: Duration,
    ) -> Result<(Identified, Duration), String> {
        let found = |known: &BTreeMap<PeerId, Introduction>| {
            let introduction = known.get(&peer)?;
            Some((introduction.identified.clone()?, introduction.rtt?))
        };
        let known = self.known.lock().expect("no panic while the peers are locked");
        let waited =
            self.changed.wait_timeout_while(known, deadline, |known| found(known).is_none());
        let (known, _) = waited.expect("no panic while the peers are locked");
        found(&known).ok_or_else(|| format!("after {deadline:?} of {peer}: {:?}", known.get(&peer)))
    }
}
