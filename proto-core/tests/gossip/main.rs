//! Gossip machines with each other, and with peers that are played by hand, on virtual time.
//!
//! - `delivery`, `validation`, `queues`: what becomes of a message;
//! - `subscriptions`: who is in which topic;
//! - `mesh`, `grafting`, `fanout`, `gossiping`, `dont_want`: whom it goes to;
//! - `exchange`, `direct`, `scores`: peers that are found, agreed on, or thought badly of;
//! - `streams`, `versions`, `finish`: how peers are spoken to, to the end;
//! - `limits`, `commands`: what others and the application can ask for.
//!
//! `SCENARIOS-rust-libp2p.md` says which of these show what the tests of rust-libp2p show.
//!
//! Networks of many nodes, and what go-libp2p-pubsub tries (`SCENARIOS-go-libp2p.md`):
//! - `networks`, `publishing`, `announcing`: what reaches whom;
//! - `subscribing`, `protocols`, `bootstrapping`: who finds whom;
//! - `judging`, `scoring`, `spam`: applications that refuse, and peers that misbehave.

mod crowd;
#[path = "../gossip_world/mod.rs"]
mod gossip_world;
mod helpers;

mod announcing;
mod bootstrapping;
mod commands;
mod delivery;
mod direct;
mod dont_want;
mod exchange;
mod fanout;
mod finish;
mod gossiping;
mod grafting;
mod judging;
mod limits;
mod mesh;
mod networks;
mod protocols;
mod publishing;
mod queues;
mod scenario_table;
mod scores;
mod scoring;
mod spam;
mod streams;
mod subscribing;
mod subscriptions;
mod validation;
mod versions;
