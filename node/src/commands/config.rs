//! `sanspeer config`: shows or changes the configuration file.

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
    let list = &mut file.topics;
    change(list, "Topics", &args.topic, &args.add_topic, &args.remove_topic)?;
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
    replacement: &[impl ToString],
    added: &[impl ToString],
    removed: &[impl ToString],
) -> Result<(), Error> {
    if !replacement.is_empty() {
        list.clear();
    }
    let replacement = replacement.iter().map(ToString::to_string);
    for entry in replacement.chain(added.iter().map(ToString::to_string)) {
        if !list.contains(&entry) {
            list.push(entry);
        }
    }
    for entry in removed.iter().map(ToString::to_string) {
        let place = list.iter().position(|listed| *listed == entry);
        list.remove(place.ok_or(Error::NotListed { key, entry })?);
    }
    Ok(())
}
