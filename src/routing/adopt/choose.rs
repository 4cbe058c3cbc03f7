//! Which of two destinations is the canary: said by a person, or guessed, and then the guess is told.

use std::fmt;
use std::str::FromStr;

/// A destination that a person says is a canary: `HOST` or `HOST/SUBSET`, as the objects write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryName {
    host: String,
    subset: Option<String>,
}

/// A text that names no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no destination: write HOST or HOST/SUBSET as the route does, like shop-v2 or shop/v2")]
pub struct NotACanaryName(String);

impl FromStr for CanaryName {
    type Err = NotACanaryName;

    fn from_str(text: &str) -> Result<Self, NotACanaryName> {
        let error = || NotACanaryName(text.to_owned());
        let (host, subset) = match text.split_once('/') {
            None => (text, None),
            Some((host, subset)) => (host, Some(subset)),
        };
        let fits = |part: &str| {
            !part.is_empty()
                && !part.contains('/')
                && !part.contains(|c: char| c.is_whitespace() || c.is_control())
        };
        if !fits(host) || !subset.is_none_or(fits) {
            return Err(error());
        }
        Ok(Self {
            host: host.to_owned(),
            subset: subset.map(str::to_owned),
        })
    }
}

impl fmt::Display for CanaryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match &self.subset {
            Some(subset) => write!(f, "/{subset}"),
            None => Ok(()),
        }
    }
}

/// One of a pair, as far as choosing goes.
pub(super) trait Arm: Clone + PartialEq {
    /// The host, or the back end's name.
    fn host(&self) -> &str;
    /// The subset, where there is one.
    fn subset(&self) -> Option<&str>;
    /// As people write it.
    fn described(&self) -> String;
}

/// Which of two is the canary (0 or 1), and the sentence for the comment; or why that cannot be said.
pub(super) fn choose<A: Arm>(
    arms: [&A; 2],
    weights: [i64; 2],
    said: &[CanaryName],
) -> Result<(usize, String), String> {
    let [first, second] = arms;
    if !said.is_empty() {
        let meant = |arm: &A| {
            said.iter().any(|name| {
                name.host == arm.host()
                    && name
                        .subset
                        .as_deref()
                        .is_none_or(|subset| arm.subset() == Some(subset))
            })
        };
        let told: Vec<String> = said.iter().map(ToString::to_string).collect();
        let told = told.join(", ");
        return match (meant(first), meant(second)) {
            (true, false) => Ok((0, format!("as --canary {told} says"))),
            (false, true) => Ok((1, format!("as --canary {told} says"))),
            (false, false) => Err(format!(
                "neither {} nor {} is what --canary {told} names: give --canary once more for this pair, or leave it out and the canary is guessed",
                first.described(),
                second.described()
            )),
            (true, true) => Err(format!(
                "{} and {} both are what --canary {told} names: say --canary HOST/SUBSET",
                first.described(),
                second.described()
            )),
        };
    }
    if let Some((at, why)) = by_name(first, second) {
        return Ok((at, format!("GUESSED, {why}")));
    }
    match weights[0].cmp(&weights[1]) {
        std::cmp::Ordering::Less => Ok((0, lower(weights))),
        std::cmp::Ordering::Greater => Ok((1, lower([weights[1], weights[0]]))),
        std::cmp::Ordering::Equal => Err(format!(
            "which of {} and {} is the canary? Their names do not tell, and their weights are the same: say --canary",
            first.described(),
            second.described()
        )),
    }
}

fn lower([less, more]: [i64; 2]) -> String {
    format!("GUESSED, for it has the lower weight ({less} beside {more})")
}

/// By their names: one says that it is new, or both have a number and one's is higher.
fn by_name<A: Arm>(first: &A, second: &A) -> Option<(usize, String)> {
    let words = |arm: &A| {
        // The rest of a long name is the same for all Services of a namespace.
        let host = arm.host().split('.').next().unwrap_or_default().to_owned();
        [Some(host), arm.subset().map(str::to_owned)]
    };
    let [a, b] = [words(first), words(second)];
    let says = |words: &[Option<String>; 2], fits: fn(&str) -> bool| {
        words.iter().flatten().find(|word| fits(word)).cloned()
    };
    match (says(&a, is_new), says(&b, is_new)) {
        (Some(word), None) => return Some((0, format!("by the name {word:?}"))),
        (None, Some(word)) => return Some((1, format!("by the name {word:?}"))),
        (Some(_), Some(_)) | (None, None) => {}
    }
    // The subset tells more than the host, which both often share.
    for (one, other) in a.iter().zip(&b).rev() {
        let (Some(one), Some(other)) = (one, other) else {
            continue;
        };
        if let (Some((stem, n)), Some((other_stem, m))) = (version(one), version(other))
            && stem == other_stem
            && n != m
        {
            let (at, higher) = if n > m { (0, one) } else { (1, other) };
            return Some((at, format!("by the higher version {higher:?}")));
        }
    }
    let second_version = |word: &str| version(word).is_some_and(|(_, n)| n == 2);
    match (says(&a, second_version), says(&b, second_version)) {
        (Some(word), None) => Some((0, format!("by the name {word:?}"))),
        (None, Some(word)) => Some((1, format!("by the name {word:?}"))),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn is_new(word: &str) -> bool {
    ["canary", "new"].iter().any(|end| {
        word.strip_suffix(end)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
    })
}

/// `shop-v12` is `shop-` and 12.
fn version(word: &str) -> Option<(&str, u64)> {
    let stem = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = word.get(stem.len()..)?.parse().ok()?;
    Some((stem.strip_suffix('v')?, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    struct Named(&'static str, Option<&'static str>);

    impl Arm for Named {
        fn host(&self) -> &str {
            self.0
        }
        fn subset(&self) -> Option<&str> {
            self.1
        }
        fn described(&self) -> String {
            self.0.to_owned()
        }
    }

    fn chosen(a: Named, b: Named, weights: [i64; 2]) -> Result<(usize, String), String> {
        choose([&a, &b], weights, &[])
    }

    #[test]
    fn the_name_tells_before_the_weight_does() {
        for (a, b) in [
            (Named("shop", None), Named("shop-canary", None)),
            (Named("shop", None), Named("shop-new", None)),
            (Named("shop", None), Named("shop-v2", None)),
            (Named("shop.apps.svc", None), Named("shop-v2.apps.svc", None)),
            (Named("shop", Some("stable")), Named("shop", Some("canary"))),
            (Named("shop", Some("v1")), Named("shop", Some("v2"))),
            (Named("shop", Some("v2")), Named("shop", Some("v3"))),
            (Named("shop", Some("v9")), Named("shop", Some("v10"))),
        ] {
            for weights in [[100, 0], [0, 100], [50, 50]] {
                let (at, why) = chosen(a, b, weights).unwrap();
                assert_eq!(at, 1, "{} {:?}: {why}", b.0, b.1);
                assert!(why.starts_with("GUESSED, by the"), "{why}");
                assert_eq!(chosen(b, a, weights).unwrap().0, 0);
            }
        }
    }

    #[test]
    fn without_a_telling_name_the_lower_weight_is_the_canary_and_equal_ones_are_not_guessed() {
        let (a, b) = (Named("blue", None), Named("green", None));
        let (at, why) = chosen(a, b, [90, 10]).unwrap();
        assert_eq!(at, 1);
        assert_eq!(why, "GUESSED, for it has the lower weight (10 beside 90)");
        assert_eq!(chosen(a, b, [10, 90]).unwrap().0, 0);
        assert!(chosen(a, b, [50, 50]).unwrap_err().contains("say --canary"));
    }

    #[test]
    fn what_a_person_says_wins_and_what_fits_neither_or_both_is_refused() {
        let (a, b) = (Named("shop", Some("v1")), Named("shop", Some("v2")));
        let said = |text: &str| [text.parse::<CanaryName>().unwrap()];
        assert_eq!(choose([&a, &b], [0, 100], &said("shop/v1")).unwrap().0, 0);
        assert!(
            choose([&a, &b], [0, 100], &said("cart"))
                .unwrap_err()
                .contains("neither")
        );
        assert!(
            choose([&a, &b], [0, 100], &said("shop"))
                .unwrap_err()
                .contains("both")
        );
    }

    #[test]
    fn a_canary_name_is_a_host_with_or_without_a_subset() {
        for text in ["", "/v2", "shop/", "a/b/c", "a b", "a\n"] {
            assert!(text.parse::<CanaryName>().is_err(), "{text:?}");
        }
        for text in ["shop", "shop/v2", "shop.apps.svc.cluster.local"] {
            assert_eq!(text.parse::<CanaryName>().unwrap().to_string(), text);
        }
    }
}
