//! How far a counted share may be from its weight by chance alone.

use statrs::distribution::{Binomial, DiscreteCDF};

/// Whether `hits` of `tries` is within the central band of a binomial with this share that holds all but `alpha`.
pub(crate) fn is_within(hits: u64, tries: u64, share: f64, alpha: f64) -> bool {
    let binomial = Binomial::new(share, tries).unwrap();
    let below = binomial.cdf(hits);
    let above = if hits == 0 {
        1.0
    } else {
        1.0 - binomial.cdf(hits - 1)
    };
    below > alpha / 2.0 && above > alpha / 2.0
}

#[test]
fn the_band_holds_what_chance_does_and_nothing_more() {
    // 99.9% of Binomial(1000, 5%): 29 to 74.
    assert!(is_within(29, 1000, 0.05, 0.001) && is_within(74, 1000, 0.05, 0.001));
    assert!(!is_within(28, 1000, 0.05, 0.001) && !is_within(75, 1000, 0.05, 0.001));
    // Nothing is left to chance at the ends.
    assert!(is_within(0, 500, 0.0, 0.001) && !is_within(1, 500, 0.0, 0.001));
    assert!(is_within(500, 500, 1.0, 0.001) && !is_within(499, 500, 1.0, 0.001));
}
