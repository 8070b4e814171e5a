//! Interleaved repetitions: A B C, A B C, …
//!
//! A machine that is slow for a while is then slow for all contenders of that
//! repetition, and a ratio taken within it still holds.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::meter::Cost;

/// What a contender is in the ratios.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Ours,
    Peer,
    Limit,
}

/// Something that takes a number of units of work and says what they cost.
pub struct Entry<'a> {
    pub name: String,
    pub role: Role,
    pub run: Box<dyn FnMut(u64) -> Result<Cost> + 'a>,
}

impl<'a> Entry<'a> {
    pub fn new(
        role: Role,
        name: impl Into<String>,
        run: impl FnMut(u64) -> Result<Cost> + 'a,
    ) -> Self {
        Self { name: name.into(), role, run: Box::new(run) }
    }
}

/// All repetitions of one entry.
#[derive(Debug, Serialize)]
pub struct Series {
    pub name: String,
    pub role: Role,
    /// Of one repetition.
    pub units: u64,
    pub costs: Vec<Cost>,
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub repetitions: usize,
    /// Aim for the thread's CPU time of one measurement.
    pub measurement: Duration,
    /// Units of the first calibrating run, and the grain of all runs.
    pub grain: u64,
}

/// Runs every entry once per repetition, in order.
pub fn run(mut entries: Vec<Entry<'_>>, schedule: Schedule) -> Result<Vec<Series>> {
    let mut series = Vec::new();
    for entry in &mut entries {
        let units = calibrate(entry, schedule)?;
        let (name, role) = (entry.name.clone(), entry.role);
        series.push(Series { name, role, units, costs: Vec::new() });
    }
    for _ in 0..schedule.repetitions {
        for (entry, series) in entries.iter_mut().zip(&mut series) {
            let cost = (entry.run)(series.units).with_context(|| entry.name.clone())?;
            series.costs.push(cost);
        }
    }
    Ok(series)
}

/// The units that fill one measurement. Warms the entry up on the way.
fn calibrate(entry: &mut Entry<'_>, schedule: Schedule) -> Result<u64> {
    let mut units = schedule.grain;
    loop {
        let cost = (entry.run)(units).with_context(|| entry.name.clone())?;
        let share = cost.cpu.as_secs_f64() / schedule.measurement.as_secs_f64();
        if share >= 0.2 {
            let grains = units as f64 / share / schedule.grain as f64;
            return Ok((grains.round() as u64).max(1) * schedule.grain);
        }
        // Never more than tenfold: the first run is the coldest.
        units = (units as f64 * (0.4 / share.max(0.04))).round() as u64;
        units = units.next_multiple_of(schedule.grain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_take_turns_and_fill_the_measurement() -> Result<()> {
        let order = std::cell::RefCell::new(Vec::new());
        let entry = |name: &'static str, unit_cost: u32| {
            let order = &order;
            Entry::new(Role::Peer, name, move |units| {
                order.borrow_mut().push(name);
                let cpu = Duration::from_micros(u64::from(unit_cost) * units);
                Ok(Cost { wall: cpu, cpu, allocations: 0, allocated_bytes: 0 })
            })
        };
        let schedule =
            Schedule { repetitions: 2, measurement: Duration::from_millis(100), grain: 10 };
        let series = run(vec![entry("a", 1), entry("b", 50)], schedule)?;
        assert_eq!(series[0].units, 100_000);
        assert_eq!(series[1].units, 2_000);
        assert!(order.borrow().ends_with(&["a", "b", "a", "b"]));
        Ok(())
    }
}
