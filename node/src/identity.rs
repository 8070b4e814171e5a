//! Who the node is: a key file in the protobuf encoding of the peer-id specification.
//!
//! A file that is there is never replaced, whatever is in it.

use std::path::Path;

use sanspeer_core::identity::{
    Identity, KeyError, Keypair, decode_private_key, encode_private_key,
};
use sanspeer_core::rng::Seed;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::private_file;

/// A seed from the operating system.
pub(crate) fn random_seed() -> Result<Seed, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(Error::Randomness)?;
    Ok(Seed::new(*bytes))
}

/// The key of the file; `None` if there is no file.
pub(crate) fn read_key(path: &Path) -> Result<Option<Keypair>, Error> {
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
