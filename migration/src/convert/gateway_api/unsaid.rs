//! What an `HTTPRoute` cannot say, decided before anything is written. What protects and cannot be kept closes the whole
//! host: other spellings of a path could not be closed one by one.

use super::super::access;
use super::super::book::Book;
use super::super::canary::{HeaderRule, Rules};
use super::super::features::{Features, Protocol};
use super::super::gateway::wildcards;
use super::super::names;
use super::super::options::{GatewayApi, Options};
use super::super::servers::{Location, Member, Place, Server};
use super::super::shape::{self, Shape};
use super::super::tls;
use crate::istio::{Redirect, StringMatch};
use crate::report::{Code, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// What is told of a location, with its detail.
pub(in super::super) fn of_location(
    wishes: &GatewayApi,
    server: &Server<'_>,
    members: &[Member<'_>],
    location: &Location<'_>,
    member: &Member<'_>,
    shape: Option<&Shape>,
) -> Vec<(Code, String)> {
    let mut told = Vec::new();
    let mut tell = |code: Code, detail: &str| told.push((code, detail.to_owned()));
    if tls::passes(server, members) {
        tell(Code::GatewayPassthrough, "");
        return told;
    }
    if server.regex {
        let code = if wishes.regular_expressions {
            Code::GatewayRegexOrder
        } else {
            Code::GatewayRegex
        };
        tell(code, &server.host);
    } else if !path(&location.path) {
        tell(Code::GatewayPath, "");
    }
    if server.host.starts_with("*.") {
        tell(Code::GatewayWildcard, &server.host);
    }
    if access::guarded(members, location) {
        tell(Code::GatewayAddresses, "");
    }
    let features = &member.features;
    if let Some(rewrite) = shape.and_then(|shape| shape.rewrite.as_ref())
        && constant(&rewrite.rewrite).is_none()
    {
        tell(Code::GatewayRewrite, "the target has captures");
    }
    if features.vhost.as_ref().is_some_and(|host| !plain_host(host)) {
        tell(Code::GatewayRewrite, "upstream-vhost is no plain name");
    }
    let redirect = features.redirect.as_ref().filter(|_| !location.bare);
    if redirect.is_some_and(|redirect| !redirects(redirect)) {
        tell(
            Code::GatewayRewrite,
            "the redirect's address has a query, or no plain name",
        );
    }
    if features.app_root.as_ref().is_some_and(|root| !full_path(root)) {
        tell(Code::GatewayRewrite, "app-root has a query");
    }
    if redirect.is_none() {
        of_back_end(features, &mut tell);
    }
    told
}

fn of_back_end(features: &Features, tell: &mut impl FnMut(Code, &str)) {
    match features.protocol {
        Protocol::Https | Protocol::Grpcs => tell(Code::GatewayBackend, "TLS that is not verified"),
        // Whether the Service says it is known once it is found.
        Protocol::Http | Protocol::Grpc => {}
    }
    if features.balance.is_some() || features.connect_timeout.is_some() || features.retries_said {
        tell(Code::GatewayBalancing, "");
    }
    let origins = features.cors.iter().flat_map(|cors| &cors.allow_origins);
    if origins.into_iter().any(|allowed| origin(allowed).is_none()) {
        tell(Code::GatewayCors, "");
    }
}

/// Whether gRPC is spoken to a Service that does not say so.
pub(in super::super) fn untold_http2(features: &Features, http2: bool) -> bool {
    features.protocol == Protocol::Grpc && !http2
}

/// Whether a canary is chosen in a way that only expressions can say, and these are not allowed.
pub(in super::super) fn of_canary(options: &Options, rules: &Rules) -> bool {
    let wishes = options.target.gateway_api();
    wishes.is_some_and(|wishes| !wishes.regular_expressions)
        && (rules.cookie.is_some() || matches!(rules.header, Some((_, HeaderRule::Pattern(_)))))
}

/// Closes every host of which something protected is refused, or cannot be compared.
pub(in super::super) fn close_hosts(
    servers: &mut BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    book: &mut Book<'_>,
) {
    let unwritten: BTreeSet<String> = servers
        .keys()
        .filter(|host| !names::is_written(host))
        .flat_map(|host| wildcards(host))
        .collect();
    for server in servers.values_mut() {
        let protected = |location: &Location<'_>| {
            let Some(member) = members.get(location.member) else {
                return true;
            };
            let refused = location.place != Place::Root && !location.refused.is_empty();
            let sec = location.refused.iter().any(|code| code.explanation().sec);
            let unsaid = location.refused.contains(&Code::GatewayPath)
                || shape::uris(server, location, member).is_err();
            refused && (sec || member.ghost || unsaid)
        };
        let what = server
            .locations
            .iter()
            .find(|l| protected(l))
            .map(|l| l.path.clone());
        let wide = unwritten.contains(&server.host);
        let Some(detail) = what.or_else(|| wide.then(|| "hosts under it that cannot be written".to_owned()))
        else {
            continue;
        };
        for location in server.locations.iter_mut().filter(|l| l.place != Place::Root) {
            let Some(member) = members
                .get(location.member)
                .filter(|_| location.refused.is_empty())
            else {
                continue;
            };
            let code = Code::GatewayHostClosed;
            let entry = Entry::new(code, location.place.field(), location.path.clone()).with(detail.clone());
            if book.note(member.ingress, entry) {
                location.refused.push(code);
            }
        }
    }
}

/// The matches that close a refused path: it alone, as whatever could be protected there closes its host.
pub(in super::super) fn closing(
    server: &Server<'_>,
    location: &Location<'_>,
    member: &Member<'_>,
) -> Vec<StringMatch> {
    // One that cannot be compared has closed its host already.
    let Ok(mut all) = shape::uris(server, location, member) else {
        return vec![StringMatch::Prefix("/".to_owned())];
    };
    // nginx redirects `/foo` to `/foo/` where only the latter is a location.
    let bare = location.path.strip_suffix('/').filter(|bare| !bare.is_empty());
    if let Some(bare) = bare.filter(|bare| !server.regex && !server.has_any(bare)) {
        all.push(StringMatch::Exact(bare.to_owned()));
    }
    all
}

/// What an `HTTPRoute` takes for an exact path or a prefix (its CEL rules).
fn path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._~!$&'()*+,;=:@-".contains(c);
    path.len() <= 1024
        && path.chars().all(plain)
        && !["//", "/./", "/../"].iter().any(|part| path.contains(part))
        && !["/.", "/.."].iter().any(|end| path.ends_with(end))
}

fn full_path(path: &str) -> bool {
    path.starts_with('/') && path.len() <= 1024 && !path.contains(['?', '#'])
}

fn plain_host(host: &str) -> bool {
    names::is_host(host) && !host.starts_with('*')
}

/// Whether a redirect can be said.
pub(super) fn redirects(redirect: &Redirect) -> bool {
    redirect.uri.as_deref().is_none_or(full_path)
        && redirect.authority.as_deref().is_none_or(plain_host)
        && [301, 302, 303, 307, 308].contains(&redirect.redirect_code)
}

/// A rewrite's target where it is a constant; captures and backslashes begin with one in Envoy's words.
pub(super) fn constant(target: &str) -> Option<&str> {
    (full_path(target) && !target.contains('\\')).then_some(target)
}

/// An origin as the CORS filter takes it.
pub(super) fn origin(allowed: &StringMatch) -> Option<String> {
    match allowed {
        StringMatch::Regex(any) if any == ".*" => Some("*".to_owned()),
        StringMatch::Exact(origin) => {
            let (scheme, rest) = origin.split_once("://")?;
            let (host, port) = rest.split_once(':').unwrap_or((rest, "1"));
            let known = ["http", "https"].contains(&scheme) && port.len() <= 5 && port.parse::<u32>().is_ok();
            (known && plain_host(host)).then(|| origin.clone())
        }
        // Its wildcard would stand for any number of labels.
        StringMatch::Regex(_) | StringMatch::Prefix(_) => None,
    }
}
