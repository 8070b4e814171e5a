//! `sanspeer config`: shows or changes the configuration file.

use multiaddr::Multiaddr;

use super::in_force;
use crate::cli::{Common, ConfigArgs};
use crate::config::{ConfigFile, Settings};
use crate::error::Error;

pub(super) fn run(common: &Common, args: &ConfigArgs) -> Result<(), Error> {
    let before = ConfigFile::read_or_write(&common.data)?;
    let mut file = before.clone();
    let list = &mut file.listen_addresses;
    change(list, "ListenAddresses", &args.listen, &args.add_listen, &args.remove_listen)?;
    let list = &mut file.bootstrap_peers;
    change(list, "BootstrapPeers", &args.bootstrap, &args.add_bootstrap, &args.remove_bootstrap)?;
    // Nothing is written that would not be read again.
    Settings::check(&file, &common.data)?;
    let changed = file != before;
    if changed {
        file.write(&common.data)?;
    }
    if args.show || !changed {
        println!("{}", in_force(common, &file)?.0.without_secrets().to_json());
    } else {
        println!("{} written", ConfigFile::path(&common.data).display());
    }
    Ok(())
}

/// Replaces a list if another is given, then adds to it and removes from it.
fn change(
    list: &mut Vec<String>,
    key: &'static str,
    replacement: &[Multiaddr],
    added: &[Multiaddr],
    removed: &[Multiaddr],
) -> Result<(), Error> {
    if !replacement.is_empty() {
        list.clear();
    }
    for address in replacement.iter().chain(added).map(ToString::to_string) {
        if !list.contains(&address) {
            list.push(address);
        }
    }
    for address in removed.iter().map(ToString::to_string) {
        let place = list.iter().position(|listed| *listed == address);
        list.remove(place.ok_or(Error::NotListed { key, address })?);
    }
    Ok(())
}
