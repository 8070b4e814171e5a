//! [`Dialling`]: `peer dial`.

use std::time::Duration;

use sanspeer_core::gossip::{GossipConfig, Topic};
use sanspeer_core::identity::PeerId;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Handle, Multiaddr, SecurityProtocol};

use super::args::{CheckName, DialArgs, Transport};
use super::checks::{self, Echo, Got, identify, ping};
use super::deadline::within;
use super::error::Error;
use super::gossip::{DEFAULT_TOPIC, Member};
use super::report::{self, CheckLine};
use super::runtime::OnRuntime;
use super::{gossip, listen, node};

/// A peer that dials another one and checks what it answers.
#[derive(Debug)]
pub struct Dialling {
    address: Multiaddr,
    security: SecurityProtocol,
    /// What is joined before the dial.
    topic: Option<Topic>,
    checks: Vec<Check>,
    /// How long each check may take, and the dial.
    patience: Duration,
}

/// A check that is built.
#[derive(Clone, Copy, Debug)]
enum Check {
    Ping,
    Identify,
    Echo(Echo),
    Gossip,
}

impl Dialling {
    /// What the arguments ask for.
    pub fn new(args: DialArgs) -> Result<Self, Error> {
        let echo = Echo { bytes: args.size, streams: args.streams, concurrency: args.concurrency };
        let checks = args.checks.iter().map(|check| match check {
            CheckName::Ping => Ok(Check::Ping),
            CheckName::Identify => Ok(Check::Identify),
            CheckName::Echo => Ok(Check::Echo(echo)),
            CheckName::Gossip => Ok(Check::Gossip),
            CheckName::Kad => Err(Error::NotBuilt("the check kad")),
        });
        let checks = checks.collect::<Result<Vec<_>, _>>()?;
        let gossips = checks.iter().any(|check| matches!(check, Check::Gossip));
        let topic = args.topic.as_deref().or(gossips.then_some(DEFAULT_TOPIC));
        Ok(Dialling {
            checks,
            security: listen::security(transport_of(&args.address), args.security)?,
            topic: topic.map(gossip::topic).transpose()?,
            address: args.address,
            patience: Duration::from_secs(args.timeout),
        })
    }

    async fn run_checks<R: Runtime>(&self, runtime: &R, node: &Handle) -> Result<bool, Error> {
        let mut member = match &self.topic {
            Some(topic) => Some(Member::join(runtime, node, topic, Vec::new()).await?),
            None => None,
        };
        let address = || self.address.clone();
        let peer = within(runtime, self.patience, node.dial(address())).await;
        let peer = peer.ok_or_else(|| Error::DialTimedOut(address()))?;
        let peer = peer.map_err(|error| Error::Dial(address(), error))?;
        let mut all = true;
        for check in &self.checks {
            let run = check.run(runtime, node, member.as_mut(), peer);
            let result = within(runtime, self.patience, run).await;
            let late = || Err(format!("not over within {} s", self.patience.as_secs()));
            let result = result.unwrap_or_else(late);
            all &= result.is_ok();
            report::print(&CheckLine::new(check.name(), result)).map_err(Error::Output)?;
        }
        Ok(all)
    }
}

impl OnRuntime for Dialling {
    type Output = Result<bool, Error>;

    async fn run<R: Runtime>(self, runtime: R) -> Result<bool, Error> {
        let gossip = self.topic.as_ref().map(|_| GossipConfig::default());
        let node = node::start_gossiping(&runtime, self.security, gossip).map_err(Error::Start)?;
        let result = self.run_checks(&runtime, &node).await;
        node.shutdown().await;
        result
    }
}

impl Check {
    fn name(self) -> CheckName {
        match self {
            Check::Ping => CheckName::Ping,
            Check::Identify => CheckName::Identify,
            Check::Echo(_) => CheckName::Echo,
            Check::Gossip => CheckName::Gossip,
        }
    }

    async fn run<R: Runtime>(
        self,
        runtime: &R,
        node: &Handle,
        member: Option<&mut Member>,
        peer: PeerId,
    ) -> Result<Got, String> {
        match self {
            Check::Ping => ping::check(runtime, node, peer).await,
            Check::Identify => identify::check(runtime, node, peer).await,
            Check::Echo(echo) => echo.check(runtime, node, peer).await,
            Check::Gossip => checks::gossip::check(member, peer).await,
        }
    }
}

/// What an address is dialled over, as far as security goes.
fn transport_of(address: &Multiaddr) -> Transport {
    let quic = address.protocol_stack().any(|protocol| protocol == "quic-v1");
    if quic { Transport::Quic } else { Transport::Tcp }
}
