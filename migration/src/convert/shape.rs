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

/// How a location is recognised, or why that cannot be said.
pub(super) fn shape(
    server: &Server<'_>,
    location: &Location<'_>,
    member: &Member<'_>,
) -> Result<Shape, Unfit> {
    let path = &location.path;
    if !path.starts_with('/') {
        return Err(Unfit {
            code: Code::PathInvalid,
            detail: String::new(),
        });
    }
    if server.regex {
        return regex_shape(server, location, member);
    }
    if let Some(c) = path.chars().find(|c| !sent_plainly(*c)) {
        return Err(Unfit {
            code: Code::PathEncoding,
            detail: format!("{c:?}"),
        });
    }
    let uris = match location.path_type {
        PathType::Exact => vec![StringMatch::Exact(path.clone())],
        PathType::Prefix => {
            let prefix = StringMatch::Prefix(with_slash(path));
            if path.ends_with('/') || server.has(PathType::Exact, path) {
                vec![prefix]
            } else {
                vec![StringMatch::Exact(path.clone()), prefix]
            }
        }
    };
    Ok(Shape { uris, rewrite: None })
}

fn regex_shape(server: &Server<'_>, location: &Location<'_>, member: &Member<'_>) -> Result<Shape, Unfit> {
    let features = &member.features;
    let own = !location.catch_all && (features.use_regex || rewrites(features, &location.path));
    let rewritten = !location.catch_all && rewrites(features, &location.path);
    let blame = |mut unfit: Unfit| {
        if rewritten && unfit.code == Code::PathPcre {
            unfit.code = Code::RewritePcre;
        }
        unfit
    };
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
    let pattern = Pattern::new(&compared).map_err(blame)?;
    let uris = vec![StringMatch::Regex(pattern.location().map_err(blame)?)];
    let target = features.rewrite_target.as_ref().filter(|_| rewritten);
    let rewrite = match target {
        None => None,
        Some(target) => {
            let pattern = Pattern::new(&location.path).map_err(blame)?;
            let rewrite = substitution(target, pattern.groups()).map_err(|detail| Unfit {
                code: Code::RewriteTarget,
                detail: format!("{target:?}: {detail}"),
            })?;
            Some(RegexRewrite {
                matches: pattern.rewrite().map_err(blame)?,
                rewrite,
            })
        }
    };
    Ok(Shape { uris, rewrite })
}
