//! Settings, from the strongest source to the weakest: flag, environment, file, default.
//!
//! - [`ConfigFile`]: the JSON file, `<data>/p2p_config.json`;
//! - [`Settings`]: what is in force, checked: nothing behind it has to doubt a value.

mod file;
mod layers;
mod settings;

pub(crate) use file::ConfigFile;
pub(crate) use layers::overridden;
pub(crate) use settings::{LogLevel, SettingError, Settings, topic};
