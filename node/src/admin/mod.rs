//! The admin port of a running node: HTTP on a loopback address, for whoever can read its token.
//!
//! - [`server`]: [`Admin`], inside of the node;
//! - [`client`]: how another process of ours asks;
//! - [`mod@file`]: `<data>/admin.json`, which tells it where, with the token;
//! - [`report`]: what is told.

mod client;
mod file;
mod report;
mod server;

pub(crate) use client::running;
pub(crate) use report::{PeerReport, StatusReport};
pub(crate) use server::Admin;
