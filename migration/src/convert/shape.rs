//! How a location's requests are recognised, and what the back end sees of their path.

use super::pattern::{LONGEST, Pattern, Unfit, sent_plainly, substitution};
use super::servers::{Location, Member, Server, rewrites, with_slash};
use crate::input::PathType;
use crate::istio::{RegexRewrite, StringMatch};
use crate::report::Code;

/// How a location's requests are recognised, and what the back end sees of their path.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub uris: Vec<StringMatch>,
    pub rewrite: Option<RegexRewrite>,
}

/// How a location's requests are recognised and rewritten, or why that cannot be said.
pub(super) fn shape(
    server: &Server<'_>,
    location: &Location<'_>,
    member: &Member<'_>,
) -> Result<Shape, Unfit> {
    let uris = uris(server, location, member)?;
    let target = member.features.rewrite_target.as_ref();
    let Some(target) = target.filter(|_| rewritten(location, member)) else {
        return Ok(Shape { uris, rewrite: None });
    };
    let pattern = Pattern::new(&location.path).map_err(blame)?;
    let unfit = |detail: String| Unfit {
        code: Code::RewriteTarget,
        detail: format!("{target:?}: {detail}"),
    };
    let rewrite = substitution(target, pattern.groups()).map_err(unfit)?;
    // nginx answers 500 to a path that becomes empty, where Envoy would ask the back end for it.
    let leading = target
        .strip_prefix('$')
        .and_then(|rest| rest.chars().next()?.to_digit(10));
    if leading.is_some_and(|capture| !pattern.is_rooted(capture)) {
        return Err(unfit(
            "what it begins with may be empty, or lack the slash".to_owned(),
        ));
    }
    let rewrite = RegexRewrite {
        matches: pattern.rewrite().map_err(blame)?,
        rewrite,
    };
    Ok(Shape {
        uris,
        rewrite: Some(rewrite),
    })
}

fn rewritten(location: &Location<'_>, member: &Member<'_>) -> bool {
    !location.bare && rewrites(&member.features, &location.path)
}

fn blame(mut unfit: Unfit) -> Unfit {
    if unfit.code == Code::PathPcre {
        unfit.code = Code::RewritePcre;
    }
    unfit
}

/// How a location's requests are recognised, whatever becomes of them.
pub(super) fn uris(
    server: &Server<'_>,
    location: &Location<'_>,
    member: &Member<'_>,
) -> Result<Vec<StringMatch>, Unfit> {
    let path = &location.path;
    if !path.starts_with('/') {
        return Err(Unfit {
            code: Code::PathInvalid,
            detail: String::new(),
        });
    }
    if server.regex {
        return regex_uris(server, location, member);
    }
    if let Some(c) = path.chars().find(|c| !sent_plainly(*c)) {
        return Err(Unfit {
            code: Code::PathEncoding,
            detail: format!("{c:?}"),
        });
    }
    Ok(match location.path_type {
        PathType::Exact => vec![StringMatch::Exact(path.clone())],
        PathType::Prefix => {
            let prefix = StringMatch::Prefix(with_slash(path));
            if path.ends_with('/') || server.has(PathType::Exact, path) {
                vec![prefix]
            } else {
                vec![StringMatch::Exact(path.clone()), prefix]
            }
        }
    })
}

fn regex_uris(
    server: &Server<'_>,
    location: &Location<'_>,
    member: &Member<'_>,
) -> Result<Vec<StringMatch>, Unfit> {
    let rewritten = rewritten(location, member);
    let own = !location.bare && (member.features.use_regex || rewritten);
    // nginx adds a slash to a prefix that is no expression itself, where an exact path takes the rest.
    let slashed = !own
        && location.path_type == PathType::Prefix
        && server.has(PathType::Exact, &location.path)
        && !location.path.ends_with('/');
    let compared = if slashed {
        with_slash(&location.path)
    } else {
        location.path.clone()
    };
    let blame = |unfit| if rewritten { blame(unfit) } else { unfit };
    let pattern = Pattern::new(&compared).map_err(blame)?;
    Ok(vec![StringMatch::Regex(pattern.location().map_err(blame)?)])
}

/// What to close for a location that is refused. Where its requests cannot be told exactly, more is closed than it
/// has: they must not fall to a location that may protect less.
pub(super) fn closing(server: &Server<'_>, location: &Location<'_>, member: &Member<'_>) -> Vec<StringMatch> {
    uris(server, location, member).unwrap_or_else(|_| around(server, location))
}

fn around(server: &Server<'_>, location: &Location<'_>) -> Vec<StringMatch> {
    let path = &location.path;
    if server.regex {
        // Only the first branch of an alternation is anchored; before it, what stands before the first operator.
        let operator = |c: char| !c.is_ascii_alphanumeric() && !"-_~/".contains(c);
        let end = path.find(operator).unwrap_or(path.len());
        let head = path.get(..end).unwrap_or_default();
        // The last character may be optional.
        let head = head
            .char_indices()
            .last()
            .and_then(|(at, _)| head.get(..at))
            .unwrap_or_default();
        let head = if path.contains('|') { "" } else { head };
        return vec![StringMatch::Regex(format!("(?i)(?:{head}).*"))];
    }
    // No request has a path that does not begin with a slash.
    if !path.starts_with('/') {
        return Vec::new();
    }
    let bare = path.strip_suffix('/').unwrap_or(path);
    let tail = match location.path_type {
        PathType::Exact => path.strip_prefix(bare).unwrap_or_default(),
        PathType::Prefix => "(?:/.*)?",
    };
    let pattern = bare.chars().map(sent).collect::<String>() + tail;
    if pattern.len() > LONGEST {
        return Vec::new();
    }
    vec![StringMatch::Regex(pattern)]
}

/// A character as it is sent: as it stands, or as octets.
fn sent(c: char) -> String {
    if sent_plainly(c) {
        return regex::escape(&c.to_string()).replace("\\-", "-");
    }
    let mut buffer = [0; 4];
    let octets = c
        .encode_utf8(&mut buffer)
        .bytes()
        .map(|octet| format!("%{octet:02X}"));
    format!("(?i:{})", octets.collect::<String>())
}
