//! Whether the gateway keeps the limits that nginx keeps: one request a host says that a body of one byte too many would
//! come, and waits to be let in. None is ever sent.

use crate::probe::Probe;
use crate::probe::ask::{Outcome, Question, announced};
use crate::probe::code;
use crate::probe::hit::Hit;
use crate::probe::target::Target;

const SUITE: &str = "limits";
/// Limits that only a flood would show.
const RATES: &[&str] = &["limit-connections", "limit-rpm", "limit-rps"];

/// Asks each host with a limit of its own, and one of those with the controller's.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let (mut count, mut hits) = (0, Vec::new());
    let mut common = Some(probe.body_size.as_str());
    for target in targets {
        let own = target.says("proxy-body-size");
        let Some(limit) = own.or_else(|| common.take()).and_then(bytes) else {
            continue;
        };
        count += 1;
        let question = Question::get(target.scheme(), &target.host, &target.path);
        let length = limit.saturating_add(1);
        probe.pace.turn().await;
        let (ours, theirs) = futures::join!(
            announced(&probe.nginx, &probe.tls, &question, length, probe.limit),
            announced(&probe.istio, &probe.tls, &question, length, probe.limit)
        );
        let refuses =
            |outcome: &Outcome| matches!(outcome, Outcome::Answered(answer) if answer.status == 413);
        if refuses(&ours) && !refuses(&theirs) {
            let whose = if own.is_some() {
                ""
            } else {
                ", the limit of all hosts"
            };
            hits.push(Hit::new(
                SUITE,
                code::LIMIT,
                &target.host,
                format!("{} with {length} bytes to come{whose}", question.line()),
                ours.words(&question),
                theirs.words(&question),
            ));
        }
    }
    for target in targets {
        let rates: Vec<&str> = RATES
            .iter()
            .copied()
            .filter(|name| target.says(name).is_some())
            .collect();
        if !rates.is_empty() {
            hits.push(Hit::new(
                SUITE,
                code::LIMIT_UNASKED,
                &target.host,
                rates.join(", "),
                "it limits",
                "not asked",
            ));
        }
    }
    (count, hits)
}

/// A size as nginx writes it; none where there is no limit, or it is no size.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, factor) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (text.get(..at)?, 1024),
        (at, 'm' | 'M') => (text.get(..at)?, 1024 * 1024),
        (at, 'g' | 'G') => (text.get(..at)?, 1024 * 1024 * 1024),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(factor).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_nginx_writes_them() {
        for (text, size) in [
            ("8m", Some(8 << 20)),
            ("1G", Some(1 << 30)),
            ("512k", Some(512 << 10)),
            ("100", Some(100)),
            ("0", None),
            ("0m", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), size, "{text}");
        }
    }
}
