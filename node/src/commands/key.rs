//! `sanspeer key`: the node's key file.

use super::in_force;
use crate::cli::{Common, KeyCommand};
use crate::config::ConfigFile;
use crate::error::Error;
use crate::identity;

pub(super) fn run(common: &Common, command: &KeyCommand) -> Result<(), Error> {
    let file = ConfigFile::read(&common.data)?.unwrap_or_default();
    let settings = in_force(common, &file)?.1;
    let path = settings.private_key_file.clone();
    let keypair = match command {
        KeyCommand::Generate => identity::generate_key(&path)?,
        KeyCommand::Show => match identity::key_in_force(&settings)? {
            Some(keypair) => keypair,
            None => {
                let missing = std::io::ErrorKind::NotFound.into();
                return Err(Error::file("read key file", path)(missing));
            }
        },
    };
    println!("{}", keypair.public().to_peer_id());
    Ok(())
}
