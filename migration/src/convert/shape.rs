//! How a location's requests are recognised, and what the back end sees of their path.

use super::pattern::{Pattern, Unfit, sent_plainly, substitution};
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
    asked(server, path).map_err(|code| Unfit {
        code,
        detail: String::new(),
    })?;
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

/// Whether any request of nginx's has a path. It begins with a slash; doubled slashes are merged and dot segments resolved
/// before it is compared, and Envoy does not do all of that.
pub(super) fn asked(server: &Server<'_>, path: &str) -> Result<(), Code> {
    if !path.starts_with('/') {
        return Err(Code::PathInvalid);
    }
    // Of an expression only the text that has no other meaning can be told.
    let expression = server.regex && path.contains(|c| r"\^$.|?*+()[]{}".contains(c));
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next().filter(|_| !expression) {
        let last = segments.peek().is_none();
        if [".", ".."].contains(&segment) || segment.is_empty() && !last {
            return Err(Code::PathNever);
        }
    }
    Ok(())
}

fn regex_uris(
    server: &Server<'_>,
    location: &Location<'_>,
    member: &Member<'_>,
) -> Result<Vec<StringMatch>, Unfit> {
    let rewritten = rewritten(location, member);
    let compared = compared(server, location, member);
    let blame = |unfit| if rewritten { blame(unfit) } else { unfit };
    let pattern = Pattern::new(&compared).map_err(blame)?;
    Ok(vec![StringMatch::Regex(pattern.location().map_err(blame)?)])
}

/// The expression by which nginx compares a location of a server of regular expressions.
pub(super) fn compared(server: &Server<'_>, location: &Location<'_>, member: &Member<'_>) -> String {
    let own = !location.bare && (member.features.use_regex || rewritten(location, member));
    // nginx adds a slash to a prefix that is no expression itself, where an exact path takes the rest.
    let slashed = !own
        && location.path_type == PathType::Prefix
        && server.has(PathType::Exact, &location.path)
        && !location.path.ends_with('/');
    if slashed {
        with_slash(&location.path)
    } else {
        location.path.clone()
    }
}
