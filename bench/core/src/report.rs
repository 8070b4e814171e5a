//! Tables for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::meter::Clock;
use crate::rounds::{Role, Series};
use crate::statistics::Spread;

/// What a suite counts, and so how its figures are told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Payload bytes: MiB/s, and allocated bytes a byte.
    Byte,
    /// Handshakes: microseconds each, a second, and allocations each.
    Handshake,
    /// Operations of a machine: microseconds each, and allocations each.
    Operation,
}

/// The measurements of one test.
#[derive(Debug, Serialize)]
pub struct Suite {
    pub title: String,
    pub unit: Unit,
    pub series: Vec<Series>,
    pub ratios: Vec<Ratio>,
}

/// How many times as fast `of` is as `to`, within each repetition.
#[derive(Debug, Serialize)]
pub struct Ratio {
    pub of: String,
    pub to: String,
    pub to_role: Role,
    pub speed: Spread,
}

/// Heap of idle connections.
#[derive(Debug, Serialize)]
pub struct IdleMemory {
    pub pairs: usize,
    pub bytes_per_end: Vec<(String, Spread)>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: String,
    pub clock: Clock,
    pub suites: Vec<Suite>,
    pub idle_memory: Option<IdleMemory>,
}

impl Suite {
    pub fn new(title: String, unit: Unit, series: Vec<Series>, clock: Clock) -> Self {
        let mut ratios = Vec::new();
        for of in series.iter().filter(|series| series.role != Role::Limit) {
            let rivals = series.iter().filter(|to| match to.role {
                Role::Limit => true,
                Role::Peer => of.role == Role::Ours,
                Role::Ours => false,
            });
            for to in rivals {
                let speeds = of.speeds(clock).zip(to.speeds(clock)).map(|(of, to)| of / to);
                if let Some(speed) = Spread::of(speeds) {
                    let (of, to_role) = (of.name.clone(), to.role);
                    ratios.push(Ratio { of, to: to.name.clone(), to_role, speed });
                }
            }
        }
        Self { title, unit, series, ratios }
    }

    fn write_markdown(&self, clock: Clock, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## {}\n", self.title)?;
        match self.unit {
            Unit::Byte => {
                writeln!(out, "| | MiB/s | allocated bytes a byte | core share |")?;
                writeln!(out, "|---|---|---|---|")?;
            }
            Unit::Handshake => {
                writeln!(out, "| | µs | a second | allocations | allocated KiB | core share |")?;
                writeln!(out, "|---|---|---|---|---|---|")?;
            }
            Unit::Operation => {
                writeln!(out, "| | µs | allocations | allocated bytes | core share |")?;
                writeln!(out, "|---|---|---|---|---|")?;
            }
        }
        for series in &self.series {
            let Some(speed) = Spread::of(series.speeds(clock)) else { continue };
            write!(out, "| {} | ", series.name)?;
            match self.unit {
                Unit::Byte => {
                    let mib_s = scaled(speed, 1.0 / f64::from(1 << 20));
                    let allocated = series.per_unit(|cost| cost.allocated_bytes);
                    write!(out, "{} | {allocated:.2}", told(mib_s, 0))?;
                }
                Unit::Handshake => {
                    write!(out, "{} | {} | ", told(inverse(speed, 1e6), 0), told(speed, 0))?;
                    let allocations = series.per_unit(|cost| cost.allocations);
                    let allocated = series.per_unit(|cost| cost.allocated_bytes) / 1024.0;
                    write!(out, "{allocations:.0} | {allocated:.1}")?;
                }
                Unit::Operation => {
                    let allocations = series.per_unit(|cost| cost.allocations);
                    let allocated = series.per_unit(|cost| cost.allocated_bytes);
                    write!(out, "{} | ", told(inverse(speed, 1e6), 2))?;
                    write!(out, "{allocations:.1} | {allocated:.0}")?;
                }
            }
            writeln!(out, " | {:.0} % |", 100.0 * series.core_share())?;
        }
        if self.ratios.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let limit = match self.unit {
            Unit::Byte => "speed, of the limit's",
            Unit::Handshake | Unit::Operation => "time, to the limit's",
        };
        writeln!(out, "| | to | {limit} | times as fast |\n|---|---|---|---|")?;
        for ratio in &self.ratios {
            write!(out, "| {} | {} | ", ratio.of, ratio.to)?;
            match (ratio.to_role, self.unit) {
                (Role::Limit, Unit::Byte) => {
                    writeln!(out, "{} % | |", told(scaled(ratio.speed, 100.0), 1))?;
                }
                (Role::Limit, Unit::Handshake | Unit::Operation) => {
                    writeln!(out, "{} × | |", told(inverse(ratio.speed, 1.0), 2))?;
                }
                (Role::Peer | Role::Ours, _) => {
                    writeln!(out, "| {} × |", told(ratio.speed, 2))?;
                }
            }
        }
        Ok(())
    }
}

impl Series {
    /// Units a second, of each repetition.
    fn speeds(&self, clock: Clock) -> impl Iterator<Item = f64> {
        self.costs.iter().map(move |cost| self.units as f64 / cost.by(clock).as_secs_f64())
    }

    /// Mean over all repetitions; heap traffic hardly differs among them.
    fn per_unit(&self, amount: impl Fn(&crate::meter::Cost) -> u64) -> f64 {
        let total: u64 = self.costs.iter().map(amount).sum();
        total as f64 / (self.units as f64 * self.costs.len().max(1) as f64)
    }

    /// How much of the wall clock this thread had a core.
    fn core_share(&self) -> f64 {
        let sum = |by| self.costs.iter().map(|cost| cost.by(by).as_secs_f64()).sum::<f64>();
        sum(Clock::Cpu) / sum(Clock::Wall)
    }
}

impl Report {
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_markdown(&mut out);
        out
    }

    fn write_markdown(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}", self.machine)?;
        let clock = match self.clock {
            Clock::Cpu => "CPU time of the one thread",
            Clock::Wall => "the wall clock",
        };
        writeln!(out, "Figures by {clock}: median (min–max) over the repetitions.")?;
        for suite in &self.suites {
            suite.write_markdown(self.clock, out)?;
        }
        if let Some(memory) = &self.idle_memory {
            writeln!(out, "\n## Live heap of an idle connection, {} pairs\n", memory.pairs)?;
            writeln!(out, "| | bytes an end |\n|---|---|")?;
            for (name, bytes) in &memory.bytes_per_end {
                writeln!(out, "| {name} | {} |", told(*bytes, 0))?;
            }
        }
        Ok(())
    }
}

fn scaled(spread: Spread, factor: f64) -> Spread {
    let Spread { median, min, max } = spread;
    Spread { median: median * factor, min: min * factor, max: max * factor }
}

/// What takes longest has the lowest speed, hence the ends change places.
fn inverse(spread: Spread, factor: f64) -> Spread {
    let Spread { median, min, max } = spread;
    Spread { median: factor / median, min: factor / max, max: factor / min }
}

fn told(spread: Spread, digits: usize) -> String {
    let Spread { median, min, max } = spread;
    format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::meter::Cost;

    fn series(name: &str, role: Role, millis: [u64; 3]) -> Series {
        let costs = millis.map(Duration::from_millis).map(|time| Cost {
            wall: time,
            cpu: time,
            allocations: 4,
            allocated_bytes: 2 << 20,
        });
        Series { name: name.into(), role, units: 1 << 20, costs: costs.into() }
    }

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        // The machine is at half speed in the second repetition.
        let all = vec![
            series("ours", Role::Ours, [10, 20, 10]),
            series("peer", Role::Peer, [20, 40, 20]),
            series("limit", Role::Limit, [5, 10, 5]),
        ];
        let suite = Suite::new("t".into(), Unit::Byte, all, Clock::Cpu);
        let told: Vec<_> =
            suite.ratios.iter().map(|r| (r.of.as_str(), r.to.as_str(), r.speed)).collect();
        let exactly = |x| Spread { median: x, min: x, max: x };
        assert_eq!(
            told,
            [
                ("ours", "peer", exactly(2.0)),
                ("ours", "limit", exactly(0.5)),
                ("peer", "limit", exactly(0.25)),
            ]
        );
        let report = Report {
            machine: "m".into(),
            clock: Clock::Cpu,
            suites: vec![suite],
            idle_memory: None,
        };
        let markdown = report.markdown();
        assert!(markdown.contains("| ours | 100 (50–100) | 2.00 | 100 % |"), "{markdown}");
        assert!(markdown.contains("| ours | limit | 50.0 (50.0–50.0) % | |"), "{markdown}");
    }
}
