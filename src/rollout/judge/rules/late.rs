//! Long-lived connections, counted when they end: a healthy canary stays after a raise, a bad one goes as soon as ever.

use super::*;
use std::collections::BTreeMap;

/// How long connections last, in seconds.
#[derive(Clone, Copy)]
enum Lasting {
    /// Memoryless, with this mean.
    About(f64),
    /// Each as long as the other.
    Exactly(f64),
}

/// Connections that begin at a steady rate, are split by the weight, and are counted when they end or are refused.
struct Sockets {
    dice: Dice,
    /// Per second, both arms.
    rate: f64,
    lasting: Lasting,
    /// How many of those that are open end in which tick, per arm.
    open: [BTreeMap<u64, u64>; 2],
    now: f64,
}

impl Sockets {
    /// All is on control, and has been for long.
    fn new(rate: f64, lasting: Lasting, seed: u64) -> Self {
        let mut sockets = Self {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            rate,
            lasting,
            open: [BTreeMap::new(), BTreeMap::new()],
            now: 0.0,
        };
        let (Lasting::About(mean) | Lasting::Exactly(mean)) = lasting;
        let mut at = 0.0;
        // What is open began within the last mean, whatever the law: the rest of its time is memoryless or even.
        while at < mean {
            at += sockets.pause();
            let rest = match lasting {
                Lasting::About(_) => sockets.length(),
                Lasting::Exactly(length) => length - at,
            };
            sockets.ends(1, rest);
        }
        sockets
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative"
    )]
    fn ends(&mut self, side: usize, at: f64) {
        *self.open[side].entry((at / real(TICK)) as u64).or_default() += 1;
    }

    fn pause(&mut self) -> f64 {
        -(1.0 - self.dice.roll()).ln() / self.rate
    }

    fn length(&mut self) -> f64 {
        match self.lasting {
            Lasting::About(mean) => -(1.0 - self.dice.roll()).ln() * mean,
            Lasting::Exactly(length) => length,
        }
    }

    /// What both arms count in a tick in which they refuse these shares.
    fn tick(&mut self, weight: f64, refused: [f64; 2]) -> [Arm; 2] {
        let end = self.now + real(TICK);
        let mut errors = [0, 0];
        let mut at = self.now + self.pause();
        while at < end {
            let side = usize::from(self.dice.roll() >= weight);
            if self.dice.roll() < refused[side] {
                errors[side] += 1;
            } else {
                let length = self.length();
                self.ends(side, at + length);
            }
            at += self.pause();
        }
        self.now = end;
        let mut counted = |side: usize| {
            let mut ended = 0;
            while let Some(first) = self.open[side].first_entry()
                && real((first.key() + 1) * TICK) <= end + 1e-6
            {
                ended += first.remove();
            }
            Arm::Seen(Counts {
                requests: ended + errors[side],
                errors: errors[side],
                latency: None,
            })
        };
        [counted(0), counted(1)]
    }
}

/// Walks up these steps, each so many ticks; seconds at the last weight until the traffic goes back.
fn walk(
    sockets: &mut Sockets,
    steps: &[(u16, u64)],
    refused: [f64; 2],
    traffic: Traffic,
) -> Result<Outlook, (u16, u64)> {
    let rules = rules();
    let mut bench = Bench::new(&rules, 0);
    bench.ctx.traffic = traffic;
    bench.ctx.late = traffic == Traffic::LongLived;
    let mut outlook = Outlook::Promotable;
    for (i, (percent, ticks)) in steps.iter().enumerate() {
        let since = bench.end;
        bench.ctx.weight = Weight::from_percent(*percent).unwrap();
        bench.ledger = bench.ledger.follow(at(since), at(since + 60));
        // A fault comes with the last raise.
        let refused = if i + 1 == steps.len() {
            refused
        } else {
            [refused[1]; 2]
        };
        for t in 1..=*ticks {
            let [canary, control] = sockets.tick(f64::from(*percent) / 100.0, refused);
            outlook = bench.tick(canary, control);
            if is_breach(&outlook) {
                return Err((*percent, t * TICK));
            }
        }
    }
    Ok(outlook)
}

const HOUR: u64 = 360;
const CLIMB: [(u16, u64); 6] = [(0, 6), (5, HOUR), (25, HOUR), (50, HOUR), (75, HOUR), (100, HOUR)];

fn rolled_back(lasting: Lasting, rate: f64, refused: f64, traffic: Traffic, runs: u64) -> usize {
    let one = |seed: u64| {
        walk(
            &mut Sockets::new(rate, lasting, seed),
            &CLIMB,
            [refused; 2],
            traffic,
        )
        .is_err()
    };
    (1..=runs).filter(|seed| one(*seed)).count()
}

#[test]
fn a_healthy_long_lived_canary_is_not_rolled_back_after_a_raise() {
    for lasting in [
        Lasting::About(3600.0),
        Lasting::About(4.0 * 3600.0),
        Lasting::Exactly(1800.0),
    ] {
        for rate in [0.5, 4.0] {
            let trips = rolled_back(lasting, rate, 0.006, Traffic::LongLived, 12);
            assert_eq!(trips, 0, "of 12 at {rate}/s");
        }
    }
}

#[test]
fn without_lending_the_same_canary_would_be() {
    let rules_of_requests = rolled_back(Lasting::About(4.0 * 3600.0), 4.0, 0.006, Traffic::Requests, 6);
    assert!(rules_of_requests >= 5, "{rules_of_requests} of 6");
}

/// The slowest of many runs: seconds from the raise until the traffic goes back.
fn slowest(steps: &[(u16, u64)], rate: f64, refused: f64) -> u64 {
    let seconds = |seed| {
        let mut sockets = Sockets::new(rate, Lasting::About(3600.0), seed);
        let walked = walk(&mut sockets, steps, [refused, 0.002], Traffic::LongLived);
        walked.expect_err("it fails").1
    };
    (1..=12).map(seconds).max().unwrap()
}

#[test]
fn a_canary_that_refuses_connections_goes_back_all_the_same() {
    let first = [(0, 6), (5, HOUR)];
    let later = [(0, 6), (5, HOUR), (25, HOUR)];
    let last = [(0, 6), (5, 60), (75, HOUR), (100, HOUR)];
    // One canary connection a second, then one every five seconds.
    for (steps, rate, all, fifth) in [
        (&first[..], 20.0, 30, 170),
        (&first[..], 4.0, 90, 500),
        (&later[..], 4.0, 100, 250),
        (&last[..], 4.0, 100, 150),
    ] {
        let (whole, part) = (slowest(steps, rate, 1.0), slowest(steps, rate, 0.2));
        assert!(whole <= all, "{steps:?} at {rate}: {whole} s");
        assert!(part <= fifth, "{steps:?} at {rate}: {part} s");
    }
}

#[test]
fn what_is_lent_is_no_success_of_the_canarys_own() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    bench.ctx.traffic = Traffic::LongLived;
    bench.ctx.late = true;
    let ended = |requests| {
        Arm::Seen(Counts {
            requests,
            errors: 0,
            latency: None,
        })
    };
    let outlook = bench.ticks(600, &ended(0), &ended(200));
    assert!(matches!(outlook, Outlook::Insufficient { .. }), "{outlook:?}");
    let all = bench.ledger.all();
    assert_eq!(
        (all.canary.requests, all.canary.own()),
        (20 * all.canary.lent / 20, 0)
    );
    assert_eq!(
        all.canary.requests * 9,
        all.control.requests,
        "a tenth of what ended"
    );
}

#[test]
fn short_requests_are_lent_nothing() {
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    bench.ticks(60, &arm(1, 0, 0), &arm(180, 0, 0));
    assert_eq!(bench.ledger.all().canary.lent, 0);
}

#[test]
fn an_arm_that_has_its_share_is_lent_next_to_nothing() {
    let mut sockets = Sockets::new(2.0, Lasting::Exactly(30.0), 7);
    let rules = rules();
    let mut bench = Bench::new(&rules, 10);
    bench.ctx.traffic = Traffic::LongLived;
    bench.ctx.late = true;
    for _ in 0..2000 {
        let [canary, control] = sockets.tick(0.1, [0.0; 2]);
        bench.tick(canary, control);
    }
    let all = bench.ledger.all();
    assert!(all.canary.lent * 25 < all.canary.requests, "{all:?}");
}
