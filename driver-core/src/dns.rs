//! Names in addresses: `/dns`, `/dns4`, `/dns6` and `/dnsaddr`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use multiaddr::Multiaddr;
use sanspeer_core::address::{Endpoint, NameFamily, Transport, peer_of, with_peer};
use sanspeer_core::node::{Input, LookupId};

use crate::control::inbox::Report;
use crate::runtime::Runtime;
use crate::shared::Shared;

/// Addresses that one lookup gives at most.
const MAX_ADDRESSES: usize = 64;

/// Looks a name up and reports what it stands for.
pub(crate) async fn look_up<R: Runtime>(
    shared: Arc<Shared<R>>,
    lookup: LookupId,
    address: Multiaddr,
) {
    let addresses = resolve(&shared.runtime, &address).await;
    shared.reports.push(Report::Node(Input::LookedUp { lookup, addresses }));
}

async fn resolve<R: Runtime>(runtime: &R, address: &Multiaddr) -> Vec<Multiaddr> {
    match Endpoint::parse(address) {
        Some(Endpoint::Name { family, host, transport, port }) => {
            let mut ips = runtime.lookup(&host).await.unwrap_or_default();
            ips.retain(|ip| is_meant(family, *ip));
            ips.truncate(MAX_ADDRESSES);
            let of_peer = |found: Multiaddr| match peer_of(address) {
                Some(peer) => with_peer(&found, peer),
                None => found,
            };
            ips.into_iter()
                .map(|ip| SocketAddr::new(ip, port))
                .map(|socket| match transport {
                    Transport::Tcp => Endpoint::Tcp(socket),
                    Transport::Quic => Endpoint::Quic(socket),
                })
                .map(|endpoint| of_peer(endpoint.to_multiaddr()))
                .collect()
        }
        Some(
            Endpoint::Dnsaddr { .. }
            | Endpoint::Tcp(_)
            | Endpoint::Quic(_)
            | Endpoint::Memory(_)
            | Endpoint::Circuit { .. },
        )
        | None => Vec::new(),
    }
}

fn is_meant(family: NameFamily, ip: IpAddr) -> bool {
    match family {
        NameFamily::Any => true,
        NameFamily::V4 => ip.is_ipv4(),
        NameFamily::V6 => ip.is_ipv6(),
    }
}
