//! What looks like base64: decoded, and shown only where what comes out is no secret.

use super::budget::Depth;
use super::{GONE, UNREAD, as_json, text};

/// Shorter ones hide nothing that is worth it, and every word would be one.
const SHORTEST: usize = 8;
/// So often something is decoded that was decoded. What is deeper is not shown.
const DEEPEST: usize = 3;
/// A word of so many letters and digits that no person wrote is a key of somebody's.
const RANDOM: usize = 32;
/// So much of a word shows whether it comes to a text, and so much how it is made.
const BEGIN: usize = 64;
const LONG: usize = 4096;

/// A text without words that hide a secret, and without those that are drawn at random.
pub(super) fn without(said: &str, depth: Depth<'_>) -> String {
    let mut out = String::with_capacity(said.len());
    let mut rest = said;
    while let Some(at) = rest.find(is_digit) {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let end = behind.find(|c| !is_digit(c)).unwrap_or(behind.len());
        let word = &behind[..end];
        let padding = behind[end..].bytes().take(2).take_while(|b| *b == b'=').count();
        let (whole, after) = behind.split_at(end + padding);
        // What is drawn goes whatever it comes to.
        if is_drawn(word) || hides(word, padding, depth) {
            out.push_str(gone(depth));
        } else {
            for piece in whole.split_inclusive(['/', '-', '_']) {
                let word = piece.trim_end_matches(['/', '-', '_', '=']);
                let padding = piece.len() - piece.trim_end_matches('=').len();
                if word.len() < whole.len() && hides(word, padding, depth) {
                    out.push_str(gone(depth));
                    out.push_str(piece.get(word.len() + padding..).unwrap_or_default());
                } else {
                    out.push_str(piece);
                }
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What stands in the place of a word that goes, or that nobody has read.
fn gone(depth: Depth<'_>) -> &'static str {
    if depth.budget.is_spent() { UNREAD } else { GONE }
}

const fn is_digit(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')
}

/// Whether a word comes to a secret when it is decoded, or to what is not read any more.
fn hides(word: &str, padding: usize, depth: Depth<'_>) -> bool {
    if word.len() < SHORTEST.saturating_sub(padding) {
        return false;
    }
    let Some(inner) = decoded(word, padding) else {
        return false;
    };
    if depth.encoded >= DEEPEST {
        return true;
    }
    let pair = inner
        .split_once(':')
        .filter(|_| !inner.contains(char::is_whitespace));
    let is_pair = pair.is_some_and(|(user, word)| !user.is_empty() && !word.is_empty());
    // Nobody pads by chance what comes to words.
    if is_pair || (padding > 0 && inner.len() > 6) {
        return true;
    }
    let reads = || depth.budget.take(inner.len());
    if !reads() || text::at(&inner, depth.decoded()) != inner {
        return true;
    }
    // As a text it was read, and so it is where it is no JSON.
    as_json(&inner).is_some() && (!reads() || super::within(&inner, depth.decoded()) != inner)
}

/// What a word comes to, where that is a text.
fn decoded(word: &str, padding: usize) -> Option<String> {
    if word.len() % 4 == 1 || padding > 0 && !(word.len() + padding).is_multiple_of(4) {
        return None;
    }
    // Most words come to nonsense at once, and some are as long as a file.
    let (begin, _) = bytes_of(word.get(..BEGIN).unwrap_or(word));
    let nonsense = str::from_utf8(&begin).is_err_and(|error| error.error_len().is_some());
    if nonsense || begin.contains(&0) {
        return None;
    }
    let (bytes, left) = bytes_of(word);
    let text = String::from_utf8(bytes).ok().filter(|_| left == 0)?;
    let shown = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.chars().all(shown).then_some(text)
}

/// The bytes of a word of base64, and the bits that are left over.
fn bytes_of(word: &str) -> (Vec<u8>, u32) {
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(word.len()), 0_u32, 0_u32);
    for b in word.bytes() {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap_or_default());
            bits &= (1 << held) - 1;
        }
    }
    (bytes, bits)
}

/// Whether a word is drawn at random from letters, large and small, and digits. Ids and digests are of fewer.
fn is_drawn(word: &str) -> bool {
    let begin = word.get(..LONG).unwrap_or(word);
    let parts = begin.split(['/', '-', '_', '+']).filter(|part| !is_id(part));
    let (length, changes, kinds) = parts
        .map(changes)
        .fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 | b.2));
    length >= RANDOM && kinds == 7 && changes * 10 >= length * 3
}

/// How long a word is, how often it goes from letters of one kind, or digits, to another, and which there are.
fn changes(word: &str) -> (usize, usize, u8) {
    let kind = |b: u8| match b {
        b'0'..=b'9' => 1,
        b'a'..=b'z' => 2,
        _ => 4_u8,
    };
    let kinds: Vec<u8> = word.bytes().map(kind).collect();
    let changes = kinds.windows(2).filter(|two| two.first() != two.last()).count();
    (kinds.len(), changes, kinds.iter().fold(0, |all, kind| all | kind))
}

/// Whether a word is an id, a number or a digest: ULIDs, and hexadecimal digits.
fn is_id(word: &str) -> bool {
    let ulid =
        word.len() == 26 && word.starts_with(['0', '1']) && word.bytes().all(|b| b.is_ascii_alphanumeric());
    let one_case =
        !(word.contains(|c: char| c.is_ascii_lowercase()) && word.contains(|c: char| c.is_ascii_uppercase()));
    ulid || one_case && word.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether a part of a URL's path is one that nobody would choose as a name.
pub(super) fn is_random(segment: &str) -> bool {
    let ulid = segment.len() == 26 && is_id(segment);
    let letters = segment.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let letters = String::from_utf8(letters).unwrap_or_default();
    let (length, changed, kinds) = changes(&letters);
    let all_kinds = length >= 16 && kinds == 7 && changed * 3 >= length;
    let one_piece = segment.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| {
        let (length, changed, kinds) = changes(part);
        length >= 20 && kinds & 1 == 1 && kinds > 1 && changed * 5 >= length
    });
    // Behind a colon stands what `bot123:…` is.
    let pair = segment.split_once(':').is_some_and(|(_, word)| word.len() >= 16);
    !ulid && (all_kinds || one_piece || pair)
}
