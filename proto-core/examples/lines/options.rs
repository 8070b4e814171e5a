//! [`Options`]: the command line.

use super::transport::{SecuredBy, Transport};
use super::{Problem, key};

/// What was asked for.
#[derive(Default)]
pub(super) struct Options<'a> {
    /// The arguments that are no options, in their order.
    pub(super) words: Vec<&'a str>,
    pub(super) key_file: Option<&'a str>,
    psk_file: Option<&'a str>,
    tls: bool,
    quic: bool,
}

impl<'a> Options<'a> {
    /// Takes the arguments apart.
    pub(super) fn parse(arguments: &'a [String]) -> Result<Self, Problem> {
        let mut options = Options::default();
        let mut rest = arguments.iter().map(String::as_str);
        while let Some(word) = rest.next() {
            match word {
                "--key" => options.key_file = Some(rest.next().ok_or("--key needs a file")?),
                "--psk" => options.psk_file = Some(rest.next().ok_or("--psk needs a file")?),
                "--tls" => options.tls = true,
                "--quic" => options.quic = true,
                _ => options.words.push(word),
            }
        }
        Ok(options)
    }

    /// What the options choose; reads the key file of the private network.
    pub(super) fn transport(&self) -> Result<Transport, Problem> {
        match (self.quic, self.psk_file) {
            (true, Some(_)) => {
                Err("--psk with --quic: libp2p has no private networks over QUIC".to_owned())
            }
            (true, None) if self.tls => {
                Err("--tls with --quic: QUIC has TLS built in, leave --tls out".to_owned())
            }
            (true, None) => Ok(Transport::Quic),
            (false, psk_file) => Ok(Transport::Tcp {
                secured_by: if self.tls { SecuredBy::Tls } else { SecuredBy::Noise },
                psk: psk_file.map(key::pre_shared_key).transpose()?,
            }),
        }
    }
}
