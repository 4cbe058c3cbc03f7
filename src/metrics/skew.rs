//! Whether the machine that answers has the time that we have, by its `Date` header (RFC 9110 §6.6.1).

use crate::clock::Clock;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::HeaderValue;

/// A clock that is ahead by no more is not told: the header has whole seconds, and answers take time.
const AHEAD_SECONDS: i64 = 5;
/// A question about an instant within so much of our time is about now; any other is about what was recorded, and
/// nobody's clock matters to it.
const NOW_SECONDS: i64 = 60;

/// What is wrong with now, when a question about `asked` was about now and the machine that answered it lives in our
/// future: it stamps what it scrapes with its own time, so samples that it has already are after the instant that is
/// asked about, and what it answers is as old as its clock is ahead, and seems new.
///
/// A clock that is behind needs no word here: its samples are old, and are told as that.
pub(crate) fn ahead(asked: Timestamp, date: Option<&HeaderValue>) -> Option<String> {
    let ours = Clock::System.now().as_second();
    if (ours - asked.as_second()).abs() > NOW_SECONDS {
        return None;
    }
    // RFC 9110 writes GMT where RFC 2822 allows it as an obsolete zone. A date that cannot be read says nothing.
    let theirs = DateTimeParser::new().parse_timestamp(date?.as_bytes()).ok()?;
    (theirs.as_second() - ours > AHEAD_SECONDS).then(|| {
        // Without the number: a sentence that changes at every look would be written at every look.
        format!(
            "its clock (Date header) is more than {AHEAD_SECONDS} s ahead of this machine's, so what it says of now is \
             older than it looks: set both machines' clocks right (NTP)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_ahead_of_ours_is_told_when_now_is_asked_about_and_only_then() {
        let now = Clock::System.now();
        let date = |seconds: i64| {
            let at = Timestamp::from_second(now.as_second() + seconds).unwrap();
            HeaderValue::from_str(&at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).unwrap()
        };
        let told = ahead(now, Some(&date(90))).unwrap();
        assert!(told.contains("more than 5 s ahead"), "{told}");
        assert_eq!(ahead(now, Some(&date(4))), None, "whole seconds, and the way");
        assert_eq!(
            ahead(now, Some(&date(-3600))),
            None,
            "behind is told by the samples"
        );
        assert_eq!(ahead(now, Some(&HeaderValue::from_static("soon"))), None);
        assert_eq!(ahead(now, None), None);
        let recorded = Timestamp::from_second(now.as_second() - 3600).unwrap();
        assert_eq!(ahead(recorded, Some(&date(90))), None, "a record");
    }
}
