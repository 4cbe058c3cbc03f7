//! Keys as files have them: everything between `-----BEGIN …-----` and its end.

use super::GONE;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// A label is no longer: what is, is no label.
const LABEL: usize = 64;
/// No key is longer, each line behind the time of a log. A line that only looks like a beginning takes no more with it.
const BLOCK: usize = 32 << 10;

/// A text without what stands in such blocks, whether they have lines or `\n` in one string. One that is cut before its end
/// goes for as long as it goes on.
pub(super) fn without(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let Some(label) = within(&behind[BEGIN.len()..], LABEL).find(DASHES) else {
            out.push_str(BEGIN);
            rest = &behind[BEGIN.len()..];
            continue;
        };
        let (head, body) = behind.split_at(BEGIN.len() + label + DASHES.len());
        out.push_str(head);
        let end = within(body, BLOCK).find(END);
        let end = end.unwrap_or_else(|| goes_on(body));
        if !body[..end].trim().is_empty() {
            out.push_str(GONE);
        }
        rest = &body[end..];
    }
    out.push_str(rest);
    out
}

/// So many bytes of a text, or a few fewer.
fn within(text: &str, bytes: usize) -> &str {
    let most = bytes.min(text.len());
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// How far a block without an end goes: for as long as its lines have a word that may be a part of a key.
fn goes_on(body: &str) -> usize {
    let mut end = 0;
    for line in body.split_inclusive('\n') {
        let text = line.trim();
        let key = |word: &str| {
            let word = word.trim_end_matches(['"', '\'', ',']);
            word.len() >= 16
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+/=\\".contains(&b))
        };
        if end > 0 && !text.is_empty() && !text.split_whitespace().any(key) {
            break;
        }
        end += line.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_whole_and_what_stands_around_it_stays() {
        for (text, shown) in [
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nLEAK\nLEAK\n-----END RSA PRIVATE KEY-----\nb",
                "a\n-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----\nb",
            ),
            (
                "k: \"-----BEGIN PRIVATE KEY-----\\nLEAK\\n-----END PRIVATE KEY-----\\n\", b",
                "k: \"-----BEGIN PRIVATE KEY-----[redacted]-----END PRIVATE KEY-----\\n\", b",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nLEAKLEAKLEAKLEAK1\n2026 LEAKLEAKLEAKLEAK2\nthen it was cut",
                "-----BEGIN PRIVATE KEY-----[redacted]then it was cut",
            ),
            ("says -----BEGIN and no more", "says -----BEGIN and no more"),
        ] {
            assert_eq!(without(text), shown);
        }
    }
}
