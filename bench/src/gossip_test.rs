//! The gossip test: its flags, and the line that it prints.

use anyhow::Result;
use clap::Args;

use crate::Common;
use crate::api::{GossipOut, GossipPace, GossipPlan, Transport};
use crate::measure::{quantile, random_graph};

#[derive(Args)]
pub struct GossipTest {
    #[command(flatten)]
    pub common: Common,
    #[arg(long, value_enum, default_value = "tcp")]
    transport: Transport,
    #[arg(long)]
    nodes: usize,
    /// With --rate 0, at most so many.
    #[arg(long)]
    messages: usize,
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// Messages per second over all publishers; 0 for as fast as they go.
    #[arg(long)]
    rate: f64,
    /// With --rate 0: seconds of publishing.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// With --rate 0: a publisher waits while so many of its messages are not everywhere yet; 0 if
    /// it waits for nothing but its implementation.
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    #[arg(long, default_value_t = 4)]
    publishers: usize,
    /// Nodes each node dials; the mean degree is twice that.
    #[arg(long, default_value_t = 4)]
    dials: usize,
    /// Seconds for meshes to form (rust-libp2p's first heartbeat is after 5 s).
    #[arg(long, default_value_t = 8.0)]
    warmup: f64,
    /// Seconds to wait for stragglers.
    #[arg(long, default_value_t = 5.0)]
    drain: f64,
}

impl GossipTest {
    pub fn run(self) -> Result<()> {
        let plan = self.plan();
        let opts = self.common.opts(self.transport);
        let out = self.common.peer()?.gossip(&opts, &plan)?;
        let line = self.line(&out);
        self.common.result("gossip", self.transport, &self.params(&plan), &line);
        Ok(())
    }

    fn plan(&self) -> GossipPlan {
        let pace = if self.rate > 0.0 {
            GossipPace::PerSecond(self.rate)
        } else {
            GossipPace::Free { publish_s: self.seconds, in_flight: self.in_flight }
        };
        GossipPlan {
            nodes: self.nodes,
            edges: random_graph(self.nodes, self.dials, 7),
            messages: self.messages,
            size: self.size,
            pace,
            publishers: self.publishers.min(self.nodes),
            warmup_s: self.warmup,
            drain_s: self.drain,
        }
    }

    fn params(&self, plan: &GossipPlan) -> String {
        let degree = 2.0 * plan.edges.len() as f64 / self.nodes as f64;
        let nodes = format!("{}_nodes,_mean_degree_{degree:.0}", self.nodes);
        let size = self.size;
        match plan.pace {
            GossipPace::PerSecond(rate) => {
                format!("{nodes},_{}_messages_of_{size}_bytes,_{rate}_per_second", self.messages)
            }
            GossipPace::Free { publish_s, in_flight } => {
                let held = match in_flight {
                    0 => "what_is_refused_offered_again".to_owned(),
                    limit => format!("{limit}_under_way_of_each"),
                };
                format!(
                    "{nodes},_messages_of_{size}_bytes_for_{publish_s}_s,_{}_publishers,_{held}",
                    plan.publishers
                )
            }
        }
    }

    fn line(&self, out: &GossipOut) -> String {
        // With a rate, what could not be published is lost as well.
        let messages = if self.rate > 0.0 { self.messages } else { out.published };
        let expected = (messages * (self.nodes - 1)) as f64;
        let delivered = out.latency_ms.len() as f64;
        format!(
            "delivered={:.5} lost={} per_s={:.1} p50_ms={:.3} p99_ms={:.3} max_ms={:.3} cpu_us={:.2} cpu_s={:.3} secs={:.2} published={} deliveries={delivered} corrupt={} duplicates={} publish_errors={} noise={:.3}",
            delivered / expected,
            expected - delivered,
            out.delivered_meanwhile as f64 / out.publish_s,
            quantile(&out.latency_ms, 0.5),
            quantile(&out.latency_ms, 0.99),
            quantile(&out.latency_ms, 1.0),
            out.sample.cpu_s * 1e6 / delivered,
            out.sample.cpu_s,
            out.sample.secs,
            out.published,
            out.corrupt,
            out.duplicates,
            out.publish_errors,
            out.sample.noise(),
        )
    }
}
