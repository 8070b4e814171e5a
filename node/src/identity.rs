//! Who the node is: a key that was supplied, or a key file in the protobuf encoding of the peer-id
//! specification, which is made on the first run.
//!
//! A file that is there is never replaced, whatever is in it.

use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use sanspeer_core::identity::{
    Identity, KeyError, Keypair, decode_private_key, encode_private_key,
};
use sanspeer_core::rng::Seed;
use zeroize::Zeroizing;

use crate::config::Settings;
use crate::error::Error;
use crate::private_file;

/// An Ed25519 key that was given in the settings.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SuppliedKey(Zeroizing<[u8; SECRET_BYTES]>);

/// The secret half of an Ed25519 key; the public half is as long.
const SECRET_BYTES: usize = 32;

impl SuppliedKey {
    /// The secret half in hex, or both halves, which must belong together.
    pub(crate) fn from_hex(text: &str) -> Option<SuppliedKey> {
        let bytes = Zeroizing::new(HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?);
        let (secret, public) = bytes.split_at_checked(SECRET_BYTES)?;
        let key = SuppliedKey(Zeroizing::new(secret.try_into().ok()?));
        let is_whole = public.is_empty()
            || key.keypair().public().try_into_ed25519().ok()?.to_bytes() == public;
        is_whole.then_some(key)
    }

    fn keypair(&self) -> Keypair {
        let mut secret = self.0.clone();
        Keypair::ed25519_from_bytes(secret.as_mut_slice())
            .expect("any 32 bytes are an Ed25519 secret key (RFC 8032, section 5.1.5)")
    }
}

impl core::fmt::Debug for SuppliedKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SuppliedKey")
    }
}

/// The key that is in force; `None` if none was supplied and there is no file.
pub(crate) fn key_in_force(settings: &Settings) -> Result<Option<Keypair>, Error> {
    match &settings.private_key {
        Some(supplied) => Ok(Some(supplied.keypair())),
        None => read_key(&settings.private_key_file),
    }
}

/// A seed from the operating system.
pub(crate) fn random_seed() -> Result<Seed, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(Error::Randomness)?;
    Ok(Seed::new(*bytes))
}

/// The key of the file; `None` if there is no file.
fn read_key(path: &Path) -> Result<Option<Keypair>, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::file("read key file", path)(error)),
    };
    match decode_private_key(&bytes) {
        Ok(keypair) => Ok(Some(keypair)),
        Err(source) => Err(Error::Key { path: path.to_owned(), source }),
    }
}

/// Makes a key and writes its file, which must not be there.
pub(crate) fn generate_key(path: &Path) -> Result<Keypair, Error> {
    let keypair = Identity::ed25519(&random_seed()?).keypair().clone();
    let bytes = encode_private_key(&keypair)
        .map_err(|source: KeyError| Error::Key { path: path.to_owned(), source })?;
    match private_file::create(path, &bytes) {
        Ok(()) => Ok(keypair),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::KeyExists(path.to_owned()))
        }
        Err(error) => Err(Error::file("write key file", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn a_key_is_given_as_its_secret_half_or_as_both_halves_that_belong_together() {
        // RFC 8032, section 7.1, test 1.
        let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = SuppliedKey::from_hex(secret).unwrap();
        let derived = key.keypair().public().try_into_ed25519().unwrap().to_bytes();
        assert_eq!(HEXLOWER.encode(&derived), public);
        assert_eq!(SuppliedKey::from_hex(&format!("{secret}{public}")), Some(key));
        for wrong in ["", "zz", &secret[2..], public.repeat(2).as_str(), &secret.repeat(3)] {
            assert_eq!(SuppliedKey::from_hex(wrong), None, "{wrong}");
        }
    }
}
