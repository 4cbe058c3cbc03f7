//! The path as nginx matches it, and as nginx writes it again.
//!
//! nginx compares locations with a decoded path in which `//` is one slash and dot segments are resolved
//! (`merge_slashes on`, the default that ingress-nginx keeps). Without a rewrite the back end gets the request's own
//! bytes; after one it gets the new path, escaped.

/// The path that locations are compared with; `None` where nginx answers 400.
pub(super) fn normalise(path: &[u8]) -> Option<Vec<u8>> {
    // Control characters and spaces have been refused in a request line since 1.21.1.
    if path.first() != Some(&b'/') || path.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return None;
    }
    resolve(&decode(path)?)
}

/// Percent-decoding, before anything is looked at: `%2F` is a slash and `%2E` a dot from here on.
///
/// A raw `#` ends the path, though no client should send one.
fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'#' => break,
            b'%' => {
                let high = hex(bytes.next()?)?;
                let low = hex(bytes.next()?)?;
                let value = high << 4 | low;
                if value == 0 {
                    return None;
                }
                decoded.push(value);
            }
            other => decoded.push(other),
        }
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Slashes merged, `.` and `..` resolved; a `..` above the root is a bad request.
fn resolve(decoded: &[u8]) -> Option<Vec<u8>> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_in_slash = true;
    for segment in decoded.split(|byte| *byte == b'/').skip(1) {
        ends_in_slash = true;
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop()?;
            }
            other => {
                segments.push(other);
                ends_in_slash = false;
            }
        }
    }
    let mut path = Vec::with_capacity(decoded.len());
    for segment in &segments {
        path.push(b'/');
        path.extend_from_slice(segment);
    }
    if ends_in_slash {
        path.push(b'/');
    }
    Some(path)
}

/// A rewritten path on its way to the back end.
pub(super) fn escape(path: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    for byte in path {
        // The set nginx escapes in a URI since 1.21.1.
        let unsafe_byte = matches!(
            byte,
            0..=0x20
                | 0x7f..
                | b'"'
                | b'#'
                | b'%'
                | b'<'
                | b'>'
                | b'?'
                | b'\\'
                | b'^'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
        );
        if unsafe_byte {
            escaped.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            escaped.push(*byte);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<String> {
        normalise(path.as_bytes()).map(|path| path.escape_ascii().to_string())
    }

    #[test]
    fn slashes_are_merged_and_dot_segments_resolved() {
        for (raw, seen) in [
            ("/", "/"),
            ("//", "/"),
            ("//foo//x", "/foo/x"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a//../b", "/b"),
            ("/...", "/..."),
            ("/.hidden", "/.hidden"),
        ] {
            assert_eq!(of(raw).as_deref(), Some(seen), "{raw}");
        }
    }

    #[test]
    fn what_is_encoded_counts_as_what_it_stands_for() {
        for (raw, seen) in [
            ("/a%2Fb", "/a/b"),
            ("/a%2f%2fb", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/%66oo", "/foo"),
            ("/a%3Fb", "/a?b"),
            ("/a%23b", "/a#b"),
            ("/a%2525", "/a%25"),
            ("/a%c3%a9", r"/a\xc3\xa9"),
        ] {
            assert_eq!(of(raw).as_deref(), Some(seen), "{raw}");
        }
    }

    #[test]
    fn what_nginx_calls_a_bad_request() {
        for raw in [
            "/..", "/a/../..", "/%2e%2e", "/a%", "/a%4", "/a%zz", "/a%00", "/a b", "a",
        ] {
            assert_eq!(of(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_rewritten_path_is_escaped_for_the_wire() {
        assert_eq!(escape(b"/a b?\xc3%[x]"), b"/a%20b%3F%C3%25[x]");
    }
}
