//! Flags and environment, which go over what the file says.

use serde_json::{Map, Value};

use super::file::ConfigFile;
use super::settings::SettingError;

/// The environment variable of a key: `ListenAddresses` is `SANSPEER_LISTEN_ADDRESSES`.
fn environment_name(key: &str) -> String {
    let mut name = "SANSPEER".to_owned();
    for character in key.chars() {
        if character.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

/// `file` with what the environment sets over it, and the flags over that. Lists are separated by
/// commas; an empty text is an empty list.
pub(crate) fn overridden(
    file: &ConfigFile,
    environment: impl Fn(&str) -> Option<String>,
    flags: &[(String, String)],
) -> Result<ConfigFile, SettingError> {
    let mut object = file.to_object();
    let keys: Vec<String> = object.keys().cloned().collect();
    for key in keys {
        let name = environment_name(&key);
        if let Some(text) = environment(&name) {
            set(&mut object, &key, &text, &name)?;
        }
    }
    for (key, text) in flags {
        if !object.contains_key(key) {
            return Err(SettingError::UnknownKey(key.clone()));
        }
        set(&mut object, key, text, key)?;
    }
    ConfigFile::from_object(object)
}

/// Sets a key to what `text` says, read as the type that its value has. `source` is what an error
/// names.
fn set(
    object: &mut Map<String, Value>,
    key: &str,
    text: &str,
    source: &str,
) -> Result<(), SettingError> {
    let Some(value) = object.get_mut(key) else { return Ok(()) };
    *value = match value {
        Value::Array(_) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| Value::String(part.to_owned()))
            .collect(),
        Value::Number(_) => {
            let number: u64 = text.trim().parse().map_err(|_| SettingError::Value {
                key: source.to_owned(),
                value: text.to_owned(),
                problem: "not a whole number".to_owned(),
            })?;
            number.into()
        }
        Value::Bool(_) => {
            let truth: bool = text.trim().parse().map_err(|_| SettingError::Value {
                key: source.to_owned(),
                value: text.to_owned(),
                problem: "neither true nor false".to_owned(),
            })?;
            truth.into()
        }
        Value::String(_) | Value::Null | Value::Object(_) => Value::String(text.to_owned()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_flag_goes_over_the_environment_and_that_over_the_file() {
        let file = ConfigFile { log_level: "warn".to_owned(), ..ConfigFile::default() };
        let environment = |name: &str| (name == "SANSPEER_LOG_LEVEL").then(|| "debug".to_owned());
        let flag = [("LogLevel".to_owned(), "trace".to_owned())];
        assert_eq!(overridden(&file, nothing, &[]).unwrap().log_level, "warn");
        assert_eq!(overridden(&file, environment, &[]).unwrap().log_level, "debug");
        assert_eq!(overridden(&file, environment, &flag).unwrap().log_level, "trace");
    }

    #[test]
    fn every_key_can_be_set_from_the_environment() {
        let default = ConfigFile::default();
        for (key, value) in default.to_object() {
            let other = match value {
                Value::Number(_) => "7",
                Value::Bool(_) => "true",
                Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => "/memory/7",
            };
            let name = environment_name(&key);
            let environment = |asked: &str| (asked == name).then(|| other.to_owned());
            let changed = overridden(&default, environment, &[]).unwrap().to_object();
            assert_ne!(changed[&key], value, "{key}");
            let others = |object: Map<String, Value>| {
                object.into_iter().filter(|(k, _)| *k != key).collect::<Vec<_>>()
            };
            assert_eq!(others(changed), others(default.to_object()), "{key}");
        }
    }

    #[test]
    fn lists_are_separated_by_commas_and_may_be_empty() {
        let flag = |text: &str| [("ListenAddresses".to_owned(), text.to_owned())];
        let listen = |text| overridden(&ConfigFile::default(), nothing, &flag(text)).unwrap();
        assert_eq!(listen("").listen_addresses, Vec::<String>::new());
        assert_eq!(listen("/memory/1, /memory/2").listen_addresses, ["/memory/1", "/memory/2"]);
    }

    #[test]
    fn an_unknown_key_and_a_number_that_is_none_are_named() {
        let set = |key: &str, value: &str| {
            overridden(&ConfigFile::default(), nothing, &[(key.to_owned(), value.to_owned())])
                .unwrap_err()
                .to_string()
        };
        assert!(set("Listen", "x").contains("`Listen`"));
        let error = set("HighConnections", "many");
        assert!(error.contains("HighConnections") && error.contains("many"), "{error}");
        let error = set("HighConnections", "4294967296");
        assert!(error.contains("4294967296"), "{error}");
    }
}
