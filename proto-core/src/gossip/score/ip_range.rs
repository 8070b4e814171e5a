//! [`IpRange`]: addresses that begin alike.

use core::net::IpAddr;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A range of IP addresses, written as `10.0.0.0/8` or `2001:db8::/32`; an address alone is a range
/// of one. The bits behind its prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpRange {
    address: IpAddr,
    prefix_bits: u8,
}

/// Why something is no [`IpRange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpRangeError {
    /// What stands before the slash is no address.
    Address,
    /// What stands behind the slash is no length of a prefix of such an address.
    Prefix,
}

impl IpRange {
    /// The addresses that share the first `prefix_bits` bits with `address`: at most 32 for IPv4,
    /// 128 for IPv6. An IPv4-mapped IPv6 address is taken for the IPv4 one.
    ///
    /// # Errors
    ///
    /// [`IpRangeError::Prefix`] when there are not so many bits.
    pub fn new(address: IpAddr, prefix_bits: u8) -> Result<IpRange, IpRangeError> {
        let address = address.to_canonical();
        let masked = mask(address, prefix_bits).ok_or(IpRangeError::Prefix)?;
        Ok(IpRange { address: masked, prefix_bits })
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && mask(address, self.prefix_bits) == Some(self.address)
    }
}

/// `address` with all bits but the first `prefix_bits` cleared, if it has so many.
fn mask(address: IpAddr, prefix_bits: u8) -> Option<IpAddr> {
    let bits = u32::from(prefix_bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V4((address.to_bits() & mask).into()))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V6((address.to_bits() & mask).into()))
        }
    }
}

impl FromStr for IpRange {
    type Err = IpRangeError;

    fn from_str(text: &str) -> Result<Self, IpRangeError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| IpRangeError::Address)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = prefix.map_or(Ok(all), str::parse).map_err(|_| IpRangeError::Prefix)?;
        let canonical = address.to_canonical();
        // What stands there counts the bits of the IPv6 address that it is mapped into.
        let mapped = if canonical.is_ipv4() == address.is_ipv4() { 0 } else { 96 };
        IpRange::new(canonical, prefix.checked_sub(mapped).ok_or(IpRangeError::Prefix)?)
    }
}

impl core::fmt::Display for IpRange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl Serialize for IpRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IpRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl core::fmt::Display for IpRangeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            IpRangeError::Address => "no IP address",
            IpRangeError::Prefix => "no length of a prefix of such an address",
        })
    }
}

impl core::error::Error for IpRangeError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Result<IpRange, IpRangeError> {
        text.parse()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_holds_what_shares_its_prefix() {
        let ten = range("10.1.2.3/8").unwrap();
        assert_eq!(ten.to_string(), "10.0.0.0/8");
        assert!(ten.contains(ip("10.255.0.1")));
        assert!(ten.contains(ip("::ffff:10.0.0.1")));
        assert!(!ten.contains(ip("11.0.0.1")));
        assert!(!ten.contains(ip("a00::1")));
        let doc = range("2001:db8::/32").unwrap();
        assert!(doc.contains(ip("2001:db8:ffff::1")));
        assert!(!doc.contains(ip("2001:db9::1")));
        assert!(!doc.contains(ip("32.1.13.184")));
    }

    #[test]
    fn the_longest_and_the_shortest_prefix_are_ranges() {
        assert!(range("192.0.2.1").unwrap().contains(ip("192.0.2.1")));
        assert!(!range("192.0.2.1/32").unwrap().contains(ip("192.0.2.2")));
        assert!(range("0.0.0.0/0").unwrap().contains(ip("203.0.113.9")));
        assert!(range("::/0").unwrap().contains(ip("2001:db8::1")));
        assert!(!range("2001:db8::1/128").unwrap().contains(ip("2001:db8::2")));
        assert_eq!(range("::ffff:10.0.0.0/104").unwrap(), range("10.0.0.0/8").unwrap());
        assert_eq!(range("::ffff:192.0.2.1").unwrap(), range("192.0.2.1").unwrap());
    }

    #[test]
    fn what_is_no_range_is_refused() {
        assert_eq!(range("10.0.0.0/33"), Err(IpRangeError::Prefix));
        assert_eq!(range("::/129"), Err(IpRangeError::Prefix));
        assert_eq!(range("::ffff:10.0.0.0/95"), Err(IpRangeError::Prefix));
        assert_eq!(range("10.0.0.0/"), Err(IpRangeError::Prefix));
        assert_eq!(range("10.0.0/8"), Err(IpRangeError::Address));
        assert_eq!(range(""), Err(IpRangeError::Address));
    }

    #[test]
    fn a_range_is_text_in_files() {
        let json = serde_json::to_string(&range("10.0.0.0/8").unwrap()).unwrap();
        assert_eq!(json, "\"10.0.0.0/8\"");
        assert_eq!(serde_json::from_str::<IpRange>(&json).unwrap(), range("10.0.0.0/8").unwrap());
        assert!(serde_json::from_str::<IpRange>("\"10.0.0.0/33\"").is_err());
    }
}
