//! The arithmetic of a pair of integer weights.

use crate::rollout::weight::Weight;

/// The largest weight that the routed field of a VirtualService can hold.
pub(super) const MAX: i64 = i32::MAX as i64;

/// What a field for weights takes, and by what the sum of a pair that is alone may be multiplied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// The largest weight.
    pub(super) max: i64,
    /// 1 first, then in rising order.
    factors: &'static [i64],
}

/// Istio's: any 32-bit integer.
pub(super) const ISTIO: Field = Field {
    max: MAX,
    factors: &[1, 10, 100],
};

/// The Gateway API's: at most 1,000,000. Its pairs often begin at 1 to 1, so 0.1% takes a factor of 1000.
pub(super) const GATEWAY_API: Field = Field {
    max: 1_000_000,
    factors: &[1, 10, 100, 1000],
};

/// The canary's share of a pair; `None` when both have nothing. A canary with any traffic never reads as 0%, nor one
/// that has not all of it as 100%: what is left out by rounding would be traffic that nobody sees.
pub(super) fn share(canary: i64, control: i64) -> Option<Weight> {
    let sum = canary.checked_add(control).filter(|sum| *sum > 0)?;
    if canary == 0 {
        return Some(Weight::ZERO);
    }
    if control == 0 {
        return Some(Weight::FULL);
    }
    let nearest = (canary.checked_mul(2000)?.checked_add(sum)? / sum.checked_mul(2)?).clamp(1, 999);
    u16::try_from(nearest).ok().and_then(Weight::from_permille)
}

/// The pair's weights (canary, control) that give exactly the asked share. The sum is kept where it can be; where it
/// cannot and the pair is `alone` in its route, it is multiplied by 10 or 100. `None`: it cannot be said exactly.
pub(super) fn split(sum: i64, alone: bool, weight: Weight) -> Option<(i64, i64)> {
    ISTIO.split(sum, alone, weight)
}

/// The smallest share above 0 that the pair can express; it can express all its multiples.
pub(super) fn finest(sum: i64, alone: bool) -> Weight {
    ISTIO.finest(sum, alone)
}

impl Field {
    /// See [`split`].
    pub(super) fn split(self, sum: i64, alone: bool, weight: Weight) -> Option<(i64, i64)> {
        self.factors(alone).iter().find_map(|factor| {
            let sum = sum
                .checked_mul(*factor)
                .filter(|sum| (1..=self.max).contains(sum))?;
            let thousandths = sum.checked_mul(i64::from(weight.permille()))?;
            (thousandths % 1000 == 0).then(|| (thousandths / 1000, sum - thousandths / 1000))
        })
    }

    /// See [`finest`].
    pub(super) fn finest(self, sum: i64, alone: bool) -> Weight {
        let sum = self
            .factors(alone)
            .iter()
            .filter_map(|factor| sum.checked_mul(*factor))
            .rfind(|sum| (1..=self.max).contains(sum))
            .unwrap_or(1);
        u16::try_from(1000 / gcd(1000, sum))
            .ok()
            .and_then(Weight::from_permille)
            .unwrap_or(Weight::FULL)
    }

    const fn factors(self, alone: bool) -> &'static [i64] {
        if alone { self.factors } else { &[1] }
    }
}

/// The smallest share that is a multiple of both.
pub(super) fn coarser(a: Weight, b: Weight) -> Weight {
    let (a, b) = (i64::from(a.permille()), i64::from(b.permille()));
    if a == 0 || b == 0 {
        return Weight::FULL;
    }
    // Both divide 1000, so their least common multiple does too.
    u16::try_from(a / gcd(a, b) * b)
        .ok()
        .and_then(Weight::from_permille)
        .unwrap_or(Weight::FULL)
}

const fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn permille(thousandths: u16) -> Weight {
        Weight::from_permille(thousandths).unwrap()
    }

    #[test]
    fn the_sum_is_kept_where_it_can_be() {
        assert_eq!(split(100, true, permille(50)), Some((5, 95)));
        assert_eq!(split(40, false, permille(250)), Some((10, 30)));
        assert_eq!(split(110, true, permille(50)), Some((55, 1045)));
    }

    #[test]
    fn only_a_pair_that_is_alone_has_its_sum_multiplied() {
        assert_eq!(split(100, true, permille(125)), Some((125, 875)));
        assert_eq!(split(100, false, permille(125)), None);
        assert_eq!(finest(100, false), permille(10));
        assert_eq!(finest(60, false), permille(50));
        assert_eq!(finest(3, true), permille(10));
        assert_eq!(finest(3, false), Weight::FULL);
    }

    #[test]
    fn a_trickle_is_never_read_as_nothing_nor_as_everything() {
        assert_eq!(share(1, 1_000_000), Some(permille(1)));
        assert_eq!(share(1_000_000, 1), Some(permille(999)));
        assert_eq!(share(0, 0), None);
    }

    #[test]
    fn a_sum_that_would_leave_the_field_is_not_multiplied() {
        assert_eq!(split(MAX, true, permille(1)), None);
        assert_eq!(split(MAX, true, Weight::ZERO), Some((0, MAX)));
    }

    proptest! {
        #[test]
        fn what_is_split_reads_back_exactly_and_the_finest_is_the_truth(sum in 1..=MAX, alone: bool, thousandths in 0..=1000u16) {
            let weight = permille(thousandths);
            let exact = thousandths.is_multiple_of(finest(sum, alone).permille());
            match split(sum, alone, weight) {
                Some((canary, control)) => {
                    prop_assert!(exact);
                    prop_assert_eq!(share(canary, control), Some(weight));
                    prop_assert!(canary >= 0 && control >= 0 && (canary + control) % sum == 0);
                }
                None => prop_assert!(!exact),
            }
        }

        #[test]
        fn nothing_and_everything_can_always_be_said(sum in 1..=MAX, alone: bool) {
            prop_assert_eq!(split(sum, alone, Weight::ZERO), Some((0, sum)));
            prop_assert_eq!(split(sum, alone, Weight::FULL), Some((sum, 0)));
        }
    }
}
