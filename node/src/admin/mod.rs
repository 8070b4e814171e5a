//! The admin port of a running node: HTTP on a loopback address, for whoever can read its token.
//!
//! - [`server`]: [`Admin`], inside of the node; [`topics`]: its part that publishes and subscribes;
//! - [`client`]: [`Client`], how another process of ours asks;
//! - [`mod@file`]: `<data>/admin.json`, which tells it where, with the token;
//! - [`report`] and [`request`]: what is told, and what is asked.

mod client;
mod file;
mod report;
mod request;
mod server;
mod topics;

pub(crate) use client::{Client, running};
pub(crate) use report::{PeerReport, StatusReport, TopicReport};
pub(crate) use server::Admin;
