//! [`SkipReason`]: why a peer, or one of its addresses, is not dialled.

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::address::{Endpoint, peer_of};
use crate::record::MAX_ADDRESS_BYTES;
use crate::time::Timestamp;

/// Why a peer, or one of its addresses, is not dialled now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The peer is ourselves.
    Ourselves,
    /// The peer is connected.
    Connected,
    /// No address of the peer is known.
    NoAddress,
    /// The only address that is known is of this machine, and nobody was found there.
    OnlyLoopback,
    /// The address is none that can be dialled.
    Address(AddressError),
    /// Somebody else was found at the address. It is not tried again for this peer.
    WrongPeer {
        /// Who.
        found: PeerId,
    },
    /// The address failed. It is tried again later; of a peer, its first address that is.
    BackedOff {
        /// When.
        until: Timestamp,
        /// So many attempts failed in a row.
        failures: u32,
    },
}

/// Why an address is none of a peer's that can be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The peer is ourselves.
    Ourselves,
    /// It names another peer.
    OtherPeer(PeerId),
    /// It is longer than [`MAX_ADDRESS_BYTES`]. Its length, in bytes.
    TooLong(usize),
    /// It is of a kind that is not known here.
    UnknownKind,
    /// Nobody can be there: it has port 0, or is an address of no single host.
    NobodyThere,
    /// All that are known of this peer, or all peers that are known, are worth more.
    NoRoom,
}

/// The one spelling of an address at which `peer`, or anybody, can be dialled: without a peer at
/// its end, and with IPv4 not mapped into IPv6.
pub fn check_address(
    peer: Option<PeerId>,
    address: &Multiaddr,
) -> Result<(Multiaddr, Endpoint), AddressError> {
    if address.len() > MAX_ADDRESS_BYTES {
        return Err(AddressError::TooLong(address.len()));
    }
    if let (Some(peer), Some(named)) = (peer, peer_of(address))
        && peer != named
    {
        return Err(AddressError::OtherPeer(named));
    }
    let endpoint = Endpoint::parse(address).ok_or(AddressError::UnknownKind)?;
    if !endpoint.is_dialable() {
        return Err(AddressError::NobodyThere);
    }
    Ok((endpoint.to_multiaddr(), endpoint))
}

impl core::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SkipReason::Ourselves => f.write_str("the peer is ourselves"),
            SkipReason::Connected => f.write_str("the peer is connected"),
            SkipReason::NoAddress => f.write_str("no address is known"),
            SkipReason::OnlyLoopback => {
                f.write_str("only an address of this machine is known, and nobody was there")
            }
            SkipReason::Address(error) => write!(f, "{error}"),
            SkipReason::WrongPeer { found } => write!(f, "{found} was found there instead"),
            SkipReason::BackedOff { failures, .. } => {
                write!(f, "it failed {failures} times in a row and is tried again later")
            }
        }
    }
}

impl core::fmt::Display for AddressError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            AddressError::Ourselves => f.write_str("the peer is ourselves"),
            AddressError::OtherPeer(named) => write!(f, "the address names {named}"),
            AddressError::TooLong(bytes) => {
                write!(f, "the address has {bytes} bytes, more than {MAX_ADDRESS_BYTES}")
            }
            AddressError::UnknownKind => f.write_str("the address is of an unknown kind"),
            AddressError::NobodyThere => f.write_str("nobody can be at the address"),
            AddressError::NoRoom => f.write_str("better addresses are known already"),
        }
    }
}

impl core::error::Error for AddressError {}
