//! What Envoy makes of a path before it looks for a route. Seen at Envoy 1.40.

/// `meshConfig.pathNormalization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathNormalization {
    /// The path as it came.
    None,
    /// Dot segments resolved, unreserved characters decoded, backslashes turned: Istio's default (`BASE`).
    #[default]
    Normalize,
    /// And `//` merged.
    MergeSlashes,
    /// And `%2F` and `%5C` decoded before that.
    DecodeAndMergeSlashes,
}

/// Whether Envoy takes these bytes for a path and query at all. A fragment, a control character, a space or anything
/// beyond ASCII has no place in a request line.
pub(super) fn acceptable(target: &[u8]) -> bool {
    target.first() == Some(&b'/') && target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

/// The path that routes are compared with and that goes to the back end; `None` where Envoy answers 400.
pub(super) fn normalise(path: &[u8], how: PathNormalization) -> Option<Vec<u8>> {
    match how {
        PathNormalization::None => Some(path.to_vec()),
        PathNormalization::Normalize => canonical(path),
        PathNormalization::MergeSlashes => canonical(path).map(|path| merged(&path)),
        PathNormalization::DecodeAndMergeSlashes => {
            canonical(&slashes_decoded(path)).map(|path| merged(&path))
        }
    }
}

/// The value of `%XY` at the head of some bytes.
fn escape(bytes: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = bytes else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// As a browser's address bar does it: `%61` is `a`, `%2F` stays, a broken escape stays, `%00` is an error.
fn canonical(path: &[u8]) -> Option<Vec<u8>> {
    let mut clean = Vec::with_capacity(path.len());
    let path = without_parameters(path);
    let mut rest = path.as_slice();
    // Where the last broken escape stands.
    let mut broken = None;
    while let Some((first, after)) = rest.split_first() {
        if let Some(value) = escape(rest) {
            if value == 0 {
                return None;
            }
            if value.is_ascii_alphanumeric() || matches!(value, b'-' | b'.' | b'_' | b'~') {
                clean.push(value);
                if let Some(at) = broken.filter(|at| at + 3 >= clean.len()) {
                    keep_broken(&mut clean, at, rest.get(3).copied());
                }
            } else {
                clean.extend(rest.iter().take(3));
            }
            rest = rest.get(3..).unwrap_or_default();
            continue;
        }
        if *first == b'%' {
            broken = Some(clean.len());
        }
        match first {
            b'\\' => clean.push(b'/'),
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                clean.extend_from_slice(format!("%{first:02X}").as_bytes());
            }
            other => clean.push(*other),
        }
        rest = after;
    }
    Some(resolved(&clean))
}

/// A character that was decoded must not make a whole escape of a broken one before it: then its `%` is encoded.
/// `next` is what comes behind it.
fn keep_broken(clean: &mut Vec<u8>, at: usize, next: Option<u8>) {
    let length = clean.len();
    let (Some(last), first) = (clean.last().copied(), clean.get(at + 1).copied()) else {
        return;
    };
    // With one character behind the `%`, the next one decides.
    let looks_ahead = at + 2 == length;
    if looks_ahead {
        let Some(next) = next.filter(u8::is_ascii) else {
            return;
        };
        clean.push(next);
    }
    let whole = clean.get(at..).and_then(escape).is_some();
    if looks_ahead {
        clean.truncate(length);
    }
    if whole {
        clean.truncate(at + 1);
        clean.extend(b"25");
        if !looks_ahead {
            clean.extend(first);
        }
        clean.push(last);
    }
}

/// `..;x` is `..`, as long as the dots are not encoded.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let bare = |segment: &[u8]| -> Vec<u8> {
        match segment {
            [b'.', b'.', b';', ..] => b"..".to_vec(),
            [b'.', b';', ..] => b".".to_vec(),
            other => other.to_vec(),
        }
    };
    path.split(|byte| *byte == b'/')
        .map(bare)
        .collect::<Vec<_>>()
        .join(&b'/')
}

/// Dot segments only: `//` is an empty segment, which `..` takes away like any other. The root stays.
fn resolved(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut last_is_dots = false;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        last_is_dots = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    if last_is_dots {
        segments.push(b"");
    }
    let mut whole = Vec::with_capacity(path.len());
    for segment in segments {
        whole.push(b'/');
        whole.extend_from_slice(segment);
    }
    whole
}

/// Of nothing but slashes two are left: Envoy writes one for the head and one for the tail.
fn merged(path: &[u8]) -> Vec<u8> {
    if path.len() > 1 && path.iter().all(|byte| *byte == b'/') {
        return b"//".to_vec();
    }
    let mut whole = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || whole.last() != Some(&b'/') {
            whole.push(*byte);
        }
    }
    whole
}

fn slashes_decoded(path: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        if let Some(slash @ (b'/' | b'\\')) = escape(rest) {
            whole.push(slash);
            rest = rest.get(3..).unwrap_or_default();
        } else {
            whole.push(*first);
            rest = after;
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, how: PathNormalization) -> Option<String> {
        normalise(path.as_bytes(), how).map(|path| path.escape_ascii().to_string())
    }

    #[test]
    fn the_default_resolves_dots_and_keeps_slashes() {
        for (raw, seen) in [
            ("/", "/"),
            ("//foo//x", "//foo//x"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("/%66oo", "/foo"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%20b", "/a%20b"),
            ("/a%zz", "/a%zz"),
            ("/%%61b", "/%25ab"),
            ("/%6%31", "/%2561"),
            ("/%%61", "/%a"),
            ("/%%61z", "/%az"),
            (r"/a\b", "/a/b"),
            ("/a|b", "/a%7Cb"),
            ("//..", "/"),
            ("/a//..", "/a/"),
            ("/a//../b", "/a/b"),
            ("/a/..;x/b", "/b"),
            ("/a/%2e%2e;x/b", "/a/..;x/b"),
            ("/a/...;/b", "/a/...;/b"),
        ] {
            assert_eq!(
                of(raw, PathNormalization::Normalize).as_deref(),
                Some(seen),
                "{raw}"
            );
        }
    }

    #[test]
    fn the_other_degrees() {
        assert_eq!(
            of("/a/../%66//", PathNormalization::None).as_deref(),
            Some("/a/../%66//")
        );
        assert_eq!(
            of("//a%2F/b", PathNormalization::MergeSlashes).as_deref(),
            Some("/a%2F/b")
        );
        assert_eq!(
            of("//a%2F/b", PathNormalization::DecodeAndMergeSlashes).as_deref(),
            Some("/a/b")
        );
        assert_eq!(of("/a%00", PathNormalization::Normalize), None);
    }
}
