//! Names in addresses: `/dns`, `/dns4` and `/dns6` through the runtime, `/dnsaddr` through TXT
//! records.
//!
//! - [`message`]: a query and its answer;
//! - [`exchange`]: carrying them over UDP, and over TCP when the answer is long;
//! - [`servers`]: whom to ask.
//!
//! Specification: [addressing](https://github.com/libp2p/specs/blob/master/addressing/README.md),
//! section dnsaddr.

mod exchange;
mod message;
mod servers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use multiaddr::Multiaddr;
use sanspeer_core::address::{Endpoint, NameFamily, Transport};
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
    let mut addresses = match Endpoint::parse(&address) {
        Some(Endpoint::Name { family, host, transport, port }) => {
            let ips = shared.runtime.lookup(&host).await.unwrap_or_default();
            ips.into_iter()
                .filter(|ip| is_meant(family, *ip))
                .map(|ip| SocketAddr::new(ip, port))
                .map(|socket| match transport {
                    Transport::Tcp => Endpoint::Tcp(socket).to_multiaddr(),
                    Transport::Quic => Endpoint::Quic(socket).to_multiaddr(),
                })
                .collect()
        }
        Some(Endpoint::Dnsaddr { host }) => {
            let servers = match &shared.dns_servers[..] {
                [] => servers::of_the_system(),
                servers => servers.to_vec(),
            };
            exchange::dnsaddr(&shared.runtime, &servers, &host).await
        }
        Some(
            Endpoint::Tcp(_) | Endpoint::Quic(_) | Endpoint::Memory(_) | Endpoint::Circuit { .. },
        )
        | None => Vec::new(),
    };
    addresses.truncate(MAX_ADDRESSES);
    shared.reports.push(Report::Node(Input::LookedUp { lookup, addresses }));
}

fn is_meant(family: NameFamily, ip: IpAddr) -> bool {
    match family {
        NameFamily::Any => true,
        NameFamily::V4 => ip.is_ipv4(),
        NameFamily::V6 => ip.is_ipv6(),
    }
}
