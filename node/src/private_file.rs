//! Files that nobody else may read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Makes a file with mode 0600; fails if there is one.
pub(crate) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    make_folder(path)?;
    write(OpenOptions::new().write(true).create_new(true), path, content)
}

/// Puts a file with mode 0600 in the place of what was there, whole or not at all.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    make_folder(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    write(OpenOptions::new().write(true).create(true).truncate(true), &new, content)?;
    std::fs::rename(&new, path)
}

fn make_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    }
}

fn write(options: &mut OpenOptions, path: &Path, content: &[u8]) -> io::Result<()> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    let mut file: File = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
