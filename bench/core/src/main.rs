//! Benchmarks of `Connection` alone, in memory, both ends on one thread, and of
//! `Gossip` alone.
//!
//! In the order in which a figure comes about: [`contender`] says what is
//! measured of connections, [`ours`], [`quic`], [`peers`] and [`limits`] do it;
//! [`gossip`] does all of its own; [`rounds`] repeats it, [`report`] tells it.

mod allocator;
mod application;
mod connection_end;
mod contender;
mod gossip;
mod limits;
mod loops;
mod meter;
mod ours;
mod payload;
mod peers;
mod pipe;
mod quic;
mod report;
mod rounds;
mod rustls_config;
mod statistics;
mod turns;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use connection_end::SecurityProtocol;
use contender::Stack;
use limits::aead::{Aead, Copies, FULL_RECORD_BYTES, YAMUX_HEADER_BYTES};
use limits::curve::{self, Curve, Dalek4, Dalek5};
use limits::tls::Rustls;
use meter::Clock;
use peers::{Peer, Yamux013, Yamux014};
use quic::bare::BareEnd;
use quic::link::Link;
use quic::ours::OurEnd;
use report::{IdleMemory, Report, Suite, Unit};
use rounds::{Entry, Role, Schedule};
use rustls_config::{Ring, Seedable};
use statistics::Spread;

/// What secures and multiplexes a connection. Only contenders of one transport are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Transport {
    Noise,
    Tls,
    Quic,
}

/// Write sizes of the throughput tests.
const WRITE_BYTES: [usize; 2] = [64 << 10, 1 << 10];

type Stacks = Vec<(Role, Box<dyn Stack>)>;

#[derive(Parser)]
#[command(
    about = "Connection alone, beside yamux + libp2p-noise and what it is made of; Gossip alone"
)]
struct Options {
    /// Repetitions, each of which runs every contender once.
    #[arg(long, default_value_t = 7)]
    reps: usize,
    /// Aim for the length of one measurement.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Three short repetitions, for a look.
    #[arg(long)]
    quick: bool,
    /// One test instead of all.
    #[arg(long)]
    only: Option<Test>,
    /// One transport instead of all.
    #[arg(long)]
    transport: Option<Transport>,
    /// Contenders and limits whose name contains this text, instead of all.
    #[arg(long)]
    contender: Option<String>,
    #[arg(long, value_enum, default_value_t = Clock::Cpu)]
    clock: Clock,
    /// Connections of the memory test.
    #[arg(long, default_value_t = 200)]
    pairs: usize,
    /// Also writes every sample to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Test {
    Throughput,
    Handshake,
    Memory,
    /// Whatever the transport.
    Gossip,
}

impl Options {
    fn wants(&self, test: Test) -> bool {
        self.only.is_none_or(|only| only == test)
    }

    fn wants_contender(&self, name: &str) -> bool {
        self.contender.as_ref().is_none_or(|part| name.contains(part))
    }

    fn repetitions(&self) -> usize {
        if self.quick { 3 } else { self.reps.max(1) }
    }

    fn schedule(&self, grain: u64) -> Schedule {
        let seconds = if self.quick { 0.25 } else { self.seconds.max(0.01) };
        let measurement = Duration::from_secs_f64(seconds);
        Schedule { repetitions: self.repetitions(), measurement, grain }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (mut suites, mut idle_bytes) = (Vec::new(), Vec::new());
    for transport in Transport::value_variants() {
        if options.transport.is_some_and(|only| only != *transport) {
            continue;
        }
        let mut stacks = transport.stacks()?;
        stacks.retain(|(_, stack)| options.wants_contender(&stack.name()));
        if options.wants(Test::Throughput) {
            for write_bytes in WRITE_BYTES {
                suites.push(throughput(*transport, &mut stacks, write_bytes, &options)?);
            }
        }
        if options.wants(Test::Handshake) {
            suites.push(handshakes(*transport, &mut stacks, &options)?);
        }
        if options.wants(Test::Memory) {
            idle_bytes.extend(idle_memory(&mut stacks, &options)?);
        }
    }
    if options.wants(Test::Gossip) && options.transport.is_none() {
        suites.extend(gossip::suites(&options)?);
    }
    let idle_memory = options
        .wants(Test::Memory)
        .then_some(IdleMemory { pairs: options.pairs, bytes_per_end: idle_bytes });

    let report = Report { machine: machine(), clock: options.clock, suites, idle_memory };
    print!("{}", report.markdown());
    if let Some(path) = &options.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

impl Transport {
    fn title(self) -> &'static str {
        match self {
            Transport::Noise => "Noise and Yamux over bytes in order",
            Transport::Tls => "TLS and Yamux over bytes in order",
            Transport::Quic => "QUIC",
        }
    }

    fn stacks(self) -> Result<Stacks> {
        let ours = |security| -> Result<Stacks> {
            Ok(ours::stacks(security)?.into_iter().map(|stack| (Role::Ours, stack)).collect())
        };
        Ok(match self {
            Transport::Noise => {
                let mut stacks = ours(SecurityProtocol::Noise)?;
                stacks.push((Role::Peer, Box::new(Peer::<Yamux013>::new()?)));
                stacks.push((Role::Peer, Box::new(Peer::<Yamux014>::new()?)));
                stacks
            }
            Transport::Tls => {
                let mut stacks = ours(SecurityProtocol::Tls)?;
                stacks.push((Role::Limit, Box::new(Rustls::new::<Ring>()?)));
                stacks
            }
            Transport::Quic => vec![
                (Role::Ours, Box::new(Link::<OurEnd>::new()?)),
                (Role::Limit, Box::new(Link::<BareEnd<Ring>>::new()?)),
            ],
        })
    }

    /// The same limits with the primitives of ours, which only handshakes depend on.
    fn handshake_limits(self) -> Result<Stacks> {
        Ok(match self {
            Transport::Noise => Vec::new(),
            Transport::Tls => vec![(Role::Limit, Box::new(Rustls::new::<Seedable>()?))],
            Transport::Quic => vec![(Role::Limit, Box::new(Link::<BareEnd<Seedable>>::new()?))],
        })
    }
}

fn throughput(
    transport: Transport,
    stacks: &mut Stacks,
    write_bytes: usize,
    options: &Options,
) -> Result<Suite> {
    let aead = Aead::new()?;
    let mut entries: Vec<Entry<'_>> = stacks
        .iter_mut()
        .map(|(role, stack)| {
            Entry::new(*role, stack.name(), |bytes| stack.throughput(bytes, write_bytes))
        })
        .collect();
    let aead = &aead;
    let limit = |name: &str, record_bytes, copies| {
        Entry::new(Role::Limit, name, move |bytes| aead.run(bytes, record_bytes, copies))
    };
    if transport == Transport::Noise {
        entries.push(limit("AEAD alone, full records", FULL_RECORD_BYTES, Copies::None));
        entries.push(limit("AEAD and one copy each way", FULL_RECORD_BYTES, Copies::OneEachWay));
        if write_bytes < FULL_RECORD_BYTES / 2 {
            let record_bytes = write_bytes + YAMUX_HEADER_BYTES;
            entries.push(limit("AEAD alone, a record a write", record_bytes, Copies::None));
        }
    }
    entries.retain(|entry| options.wants_contender(&entry.name));
    let series = rounds::run(entries, options.schedule(4 << 20))?;
    let (transport, kib) = (transport.title(), write_bytes >> 10);
    let title = format!("{transport}: throughput, one stream, writes of {kib} KiB");
    Ok(Suite::new(title, Unit::Byte, series, options.clock))
}

fn handshakes(transport: Transport, stacks: &mut Stacks, options: &Options) -> Result<Suite> {
    fn bare<C: Curve + 'static>() -> Entry<'static> {
        let name = format!("bare operations, {}", C::NAME);
        Entry::new(Role::Limit, name, curve::bare_operations::<C>)
    }
    let mut limits = transport.handshake_limits()?;
    let mut entries: Vec<Entry<'_>> = stacks
        .iter_mut()
        .chain(&mut limits)
        .map(|(role, stack)| Entry::new(*role, stack.name(), |count| stack.handshakes(count)))
        .collect();
    if transport == Transport::Noise {
        let snow = |name: &str, with_signatures| {
            Entry::new(Role::Limit, name, move |count| curve::snow_pairs(count, with_signatures))
        };
        entries.push(bare::<Dalek4>());
        entries.push(bare::<Dalek5>());
        entries.push(snow("one snow XX pair", false));
        entries.push(snow("one snow XX pair, two signatures verified", true));
    }
    entries.retain(|entry| options.wants_contender(&entry.name));
    let series = rounds::run(entries, options.schedule(20))?;
    let title = format!("{}: handshakes, both ends", transport.title());
    Ok(Suite::new(title, Unit::Handshake, series, options.clock))
}

fn idle_memory(stacks: &mut Stacks, options: &Options) -> Result<Vec<(String, Spread)>> {
    let mut bytes_per_end: Vec<_> =
        stacks.iter().map(|(_, stack)| (stack.name(), Vec::new())).collect();
    for _ in 0..options.repetitions() {
        for ((_, stack), (name, samples)) in stacks.iter_mut().zip(&mut bytes_per_end) {
            let bytes = stack.idle_bytes_per_end(options.pairs.max(1));
            samples.push(bytes.with_context(|| name.clone())?);
        }
    }
    let spreads = bytes_per_end.into_iter();
    Ok(spreads.filter_map(|(name, samples)| Some((name, Spread::of(samples)?))).collect())
}

/// One line that says where the figures come from.
fn machine() -> String {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu_info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    format!("{cpu}, {cores} cores, load {load} at the end of the run.")
}
