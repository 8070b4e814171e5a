//! `<data>/admin.json`: where a running node answers, and the token that it wants.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::private_file;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AdminFile {
    pub(super) address: SocketAddr,
    pub(super) token: String,
}

impl AdminFile {
    pub(super) fn path(data: &Path) -> PathBuf {
        data.join("admin.json")
    }

    /// What the file says; nothing if it is absent or unreadable.
    pub(super) fn read(data: &Path) -> Option<AdminFile> {
        serde_json::from_slice(&std::fs::read(AdminFile::path(data)).ok()?).ok()
    }

    /// Writes the file, in the place of one that a node left behind.
    pub(super) fn write(&self, data: &Path) -> io::Result<()> {
        private_file::replace(&AdminFile::path(data), &serde_json::to_vec(self)?)
    }

    /// Removes the file, unless another node has put its own there.
    pub(super) fn remove(&self, data: &Path) {
        if AdminFile::read(data).as_ref() == Some(self) {
            // If it stays, it is ignored.
            let _ = std::fs::remove_file(AdminFile::path(data));
        }
    }
}
