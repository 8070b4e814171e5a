//! The identity, from a file or for this run alone, and the key of a private network.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};

use sanspeer_core::identity::{
    Identity, MAX_PRIVATE_KEY_BYTES, decode_private_key, encode_private_key,
};
use sanspeer_core::pnet::PreSharedKey;

use super::{Problem, os_seed};

/// The largest pre-shared key file that is read, in bytes: a key takes less than 100.
const MAX_PSK_FILE_BYTES: usize = 4096;

/// The identity in `file`; without a file, or when it does not exist yet, a new one. What is in
/// the file is never replaced.
pub(super) fn identity(file: Option<&str>) -> Result<Identity, Problem> {
    let seed = os_seed()?;
    let Some(path) = file else { return Ok(Identity::ed25519(&seed)) };
    let wrong = |what: &dyn std::fmt::Display| format!("key file {path:?}: {what}");
    match File::open(path) {
        Ok(file) => {
            let bytes = read(file, MAX_PRIVATE_KEY_BYTES).map_err(|error| wrong(&error))?;
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

/// The key of the private network in `path`, which is never made up.
pub(super) fn pre_shared_key(path: &str) -> Result<PreSharedKey, Problem> {
    let wrong = |what: &dyn std::fmt::Display| format!("pre-shared key file {path:?}: {what}");
    let file = File::open(path).map_err(|error| wrong(&error))?;
    let bytes = read(file, MAX_PSK_FILE_BYTES).map_err(|error| wrong(&error))?;
    if bytes.len() > MAX_PSK_FILE_BYTES {
        return Err(wrong(&format_args!("more than {MAX_PSK_FILE_BYTES} bytes")));
    }
    PreSharedKey::parse(&bytes).map_err(|error| wrong(&error))
}

/// At most one byte more than allowed, so that a longer file is seen to be longer.
fn read(file: File, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
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
