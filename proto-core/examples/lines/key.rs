//! The identity, from a file or for this run alone.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};

use sanspeer_core::identity::{
    Identity, MAX_PRIVATE_KEY_BYTES, decode_private_key, encode_private_key,
};

use super::{Problem, os_seed};

/// The identity in `file`; without a file, or when it does not exist yet, a new one. What is in
/// the file is never replaced.
pub(super) fn identity(file: Option<&str>) -> Result<Identity, Problem> {
    let seed = os_seed()?;
    let Some(path) = file else { return Ok(Identity::ed25519(&seed)) };
    let wrong = |what: &dyn std::fmt::Display| format!("key file {path:?}: {what}");
    match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            // One byte more than allowed, so that a longer file is seen to be longer.
            let mut bounded = file.take(MAX_PRIVATE_KEY_BYTES as u64 + 1);
            bounded.read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
            let keypair = decode_private_key(&bytes).map_err(|error| wrong(&error))?;
            Identity::new(keypair, &seed).map_err(|error| wrong(&error))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let identity = Identity::ed25519(&seed);
            let bytes = encode_private_key(identity.keypair()).map_err(|error| wrong(&error))?;
            save(path, &bytes).map_err(|error| wrong(&error))?;
            Ok(identity)
        }
        Err(error) => Err(wrong(&error)),
    }
}

/// Writes a file that did not exist, for its owner's eyes alone.
fn save(path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key would be an error for ever.
        let _ = std::fs::remove_file(path);
    }
    written
}
