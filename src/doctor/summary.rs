//! All findings in the few words of a condition.

use super::Finding;
use super::code::{Code, D302, D303, D304, D305, D402, Severity};

/// Findings that are told; the others are counted.
const TOLD: usize = 3;
/// A condition's sentence may be so long.
const LONGEST: usize = 1024;

/// A condition: whether there is anything to mend, why as a word, and the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) any: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// What is worth mending: what only informs is not. The same findings give the same words whenever they are found, so
/// that nothing is written again for them.
pub(crate) fn summary(findings: &[Finding]) -> Summary {
    let mut worst: Vec<&Finding> = findings.iter().filter(|f| f.severity < Severity::Info).collect();
    worst.sort_by_key(|f| (f.severity, f.code.name));
    let Some(first) = worst.first() else {
        return Summary {
            any: false,
            reason: "NothingFound",
            message: "nothing was found that would keep it from working".to_owned(),
        };
    };
    let told: Vec<String> = worst.iter().take(TOLD).map(|f| sentence(f)).collect();
    let more = match worst.len().saturating_sub(TOLD) {
        0 => String::new(),
        n => format!(" | and {n} more"),
    };
    let end = format!("{more}. `gradual-rollout doctor` shows what to do");
    let room = LONGEST.saturating_sub(end.chars().count());
    let told: String = told.join(" | ").chars().take(room).collect();
    Summary {
        any: true,
        reason: first.code.name,
        message: format!("{told}{end}"),
    }
}

/// Codes whose sentences hold what changes from look to look: an age, a distance of clocks, a wait.
const UNSTEADY: &[&Code] = &[D302, D303, D304, D305, D402];

fn sentence(finding: &Finding) -> String {
    let says = if UNSTEADY.contains(&finding.code) {
        finding.code.meaning.trim_end_matches('.')
    } else {
        &finding.message
    };
    format!("{} {}: {says}", finding.code.name, finding.object)
}

#[cfg(test)]
mod tests {
    use super::super::code::{D306, D401, D503, D504};
    use super::*;

    fn found(code: &'static Code, object: &str, message: &str) -> Finding {
        Finding::new(code, object, message)
    }

    #[test]
    fn the_gravest_come_first_the_rest_is_counted_and_what_informs_is_nothing_to_mend() {
        let info = found(D504, "virtualservice shop/shop", "Argo CD applies it");
        assert!(!summary(&[]).any && !summary(std::slice::from_ref(&info)).any);
        let all = [
            found(D306, "component cart of shop/app", "short"),
            info,
            found(D503, "virtualservice shop/shop", "Flux applies it"),
            found(D401, "component shop of shop/app", "wrong label"),
            found(D306, "component shop of shop/app", "short"),
        ];
        let told = summary(&all);
        assert_eq!((told.any, told.reason), (true, "D401"));
        let wanted = "D401 component shop of shop/app: wrong label | D306 component cart of shop/app: short | \
                      D306 component shop of shop/app: short | and 1 more. `gradual-rollout doctor` shows what to do";
        assert_eq!(told.message, wanted);
    }

    #[test]
    fn what_changes_from_look_to_look_is_not_in_the_sentence_and_none_is_longer_than_a_condition() {
        for code in UNSTEADY {
            let say = |n: u32| summary(&[found(code, "prometheus", &format!("{n}s"))]);
            assert_eq!(say(7), say(8));
        }
        let long = vec![found(D401, "component", &"long ".repeat(400)); 9];
        let told = summary(&long).message;
        assert!(
            told.chars().count() <= LONGEST && told.ends_with("doctor` shows what to do"),
            "{told}"
        );
    }
}
