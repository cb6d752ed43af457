//! Which rate is wanted in which second: a base, a spike, a cooldown, over and over, each second a little off. Pure:
//! second `n` of a plan is the same whenever it is asked for.

use tideline_engine::clock::Micros;

use super::generator::busy;
use super::rng::{Rng, mix};

/// Seconds of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// `BASE`, `SPIKE` or `COOLDOWN`.
    pub name: &'static str,
    /// Requests a second.
    pub rps: u32,
    /// How many seconds.
    pub secs: u32,
}

/// Phases one after the other.
#[derive(Debug, Clone)]
pub struct Phases {
    /// Those of one round; empty ones do not count.
    pub round: Vec<Phase>,
    /// How many rounds; 0 is without end.
    pub rounds: u32,
    /// By how many percent a second's rate may be off, either way.
    pub jitter_pct: u32,
    /// Which way it is off.
    pub seed: u64,
    /// When the plan starts, where its rates follow the hours of the day (UTC): those of the phases are the average.
    pub rhythm_from: Option<Micros>,
}

/// One second of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Second {
    /// The phase's name.
    pub phase: &'static str,
    /// The rate of the phase, at that hour of the day.
    pub nominal: u32,
    /// Requests to send in it.
    pub target: u32,
}

impl Phases {
    /// How long the plan is; `None` without end.
    pub fn seconds(&self) -> Option<u64> {
        let round: u64 = self.round.iter().map(|p| u64::from(p.secs)).sum();
        (self.rounds > 0 || round == 0).then(|| round * u64::from(self.rounds))
    }

    /// The `n`-th second, from 0; `None` behind the end.
    pub fn second(&self, n: u64) -> Option<Second> {
        let round_secs: u64 = self.round.iter().map(|p| u64::from(p.secs)).sum();
        if round_secs == 0 || self.seconds().is_some_and(|seconds| n >= seconds) {
            return None;
        }
        let mut within = n % round_secs;
        for phase in &self.round {
            if within < u64::from(phase.secs) {
                let nominal = self.at_hour(n, phase.rps);
                return Some(Second { phase: phase.name, nominal, target: self.jitter(n, nominal) });
            }
            within -= u64::from(phase.secs);
        }
        None
    }

    fn at_hour(&self, n: u64, rps: u32) -> u32 {
        match self.rhythm_from {
            Some(start) => {
                let minute = (start.div_euclid(1_000_000) + n as i64).div_euclid(60);
                (f64::from(rps) * busy(minute)).round() as u32
            }
            None => rps,
        }
    }

    fn jitter(&self, n: u64, rps: u32) -> u32 {
        let reach = (u64::from(rps) * u64::from(self.jitter_pct.min(100)) / 100) as u32;
        let off = Rng::new(self.seed ^ mix(n)).below(2 * reach + 1);
        rps - reach + off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rounds: u32, jitter_pct: u32) -> Phases {
        let phase = |name, rps, secs| Phase { name, rps, secs };
        let round = vec![phase("BASE", 20, 3), phase("SPIKE", 150, 2), phase("COOLDOWN", 10, 0)];
        Phases { round, rounds, jitter_pct, seed: 7, rhythm_from: None }
    }

    #[test]
    fn phases_follow_each_other_and_end() {
        let names = |rounds| -> Vec<_> {
            (0..12).map_while(|n| plan(rounds, 0).second(n)).map(|s| (s.phase, s.target)).collect()
        };
        let round = [("BASE", 20), ("BASE", 20), ("BASE", 20), ("SPIKE", 150), ("SPIKE", 150)];
        assert_eq!(names(1), round);
        assert_eq!(names(2), [round, round].concat());
        assert_eq!(names(0).len(), 12, "without end");
        assert_eq!(Phases { round: Vec::new(), ..plan(0, 0) }.second(0), None);
    }

    #[test]
    fn rates_follow_the_day_where_they_should() {
        // 2024-01-01T00:00:00Z
        let day = Phases { rhythm_from: Some(1_704_067_200_000_000), ..plan(0, 0) };
        let at = |hour: u64| day.second(hour * 3_600).unwrap().target;
        assert!(at(3) < 20 && at(20) > 20 && at(20) > 5 * at(3), "{} {}", at(3), at(20));
    }

    #[test]
    fn jitter_stays_within_its_percentage_and_is_the_same_each_time() {
        let targets: Vec<_> = (0..500).map(|n| plan(0, 10).second(n * 5 + 3).unwrap().target).collect();
        assert!(targets.iter().all(|t| (135..=165).contains(t)), "{targets:?}");
        assert!(targets.contains(&135) && targets.contains(&165), "all of it is used");
        assert_eq!(targets, (0..500).map(|n| plan(0, 10).second(n * 5 + 3).unwrap().target).collect::<Vec<_>>());
    }
}
