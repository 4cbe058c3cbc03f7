//! A server's locations as routes of its `VirtualService`.

use super::Options;
use super::backend::Resolved;
use super::canary::{Arm, Rules};
use super::headers;
use super::retries;
use super::servers::{Location, Member, Place, Server};
use super::settings::Settings;
use super::shape::Shape;
use super::tls::Security;
use crate::istio::{
    Destination, DirectResponse, Headers, HttpMatch, HttpRoute, Redirect, Rewrite, StringMatch,
    WeightedDestination,
};
use std::collections::BTreeMap;

/// What decides about all routes of a server.
pub(super) struct Scene<'a, 'b> {
    pub server: &'b Server<'a>,
    pub members: &'b [Member<'a>],
    pub security: &'b Security,
    pub settings: &'b Settings,
    pub options: &'b Options,
}

/// A canary that hangs on a location's back end.
pub(super) struct Split<'b> {
    pub rules: &'b Rules,
    pub destination: &'b Destination,
}

/// A port of the gateway, and whether Strict-Transport-Security is sent there.
type Variant = (Option<u16>, bool);

impl<'a> Scene<'a, '_> {
    fn member(&self, location: &Location<'a>) -> Option<&Member<'a>> {
        self.members.get(location.member)
    }

    /// The answer to `/` that nginx gives before it looks for a location.
    pub(super) fn app_root(&self) -> Option<HttpRoute> {
        let member = self.members.get(self.server.app_root?)?;
        let redirect = Redirect {
            uri: member.features.app_root.clone(),
            redirect_code: 302,
            ..Redirect::default()
        };
        let route = HttpRoute {
            name: Some(format!(
                "{}/{} app-root",
                member.ingress.meta.namespace, member.ingress.meta.name
            )),
            matches: self.matches(&[StringMatch::Exact("/".to_owned())], None, &BTreeMap::new()),
            ..HttpRoute::default()
        };
        // Without it the root's back end would answer.
        Some(if member.refused.is_empty() {
            HttpRoute {
                redirect: Some(redirect),
                ..route
            }
        } else {
            HttpRoute {
                direct_response: Some(DirectResponse { status: 503 }),
                ..route
            }
        })
    }

    /// What the catch-all server answers by itself, `/healthz` to load balancers and `/nginx_status` to nobody, with
    /// the prefix at whose place among the locations they belong.
    pub(super) fn own_answers(&self) -> Vec<(&'static str, HttpRoute)> {
        let catch_all =
            [self.server.alias_of.as_deref(), Some(self.server.host.as_str())].contains(&Some("*"));
        // Regular expressions come first, and the root is one that takes everything.
        if !catch_all || self.server.regex {
            return Vec::new();
        }
        let answer = |path: &'static str, status: u16| {
            let route = HttpRoute {
                name: Some(format!("nginx {path}")),
                matches: self.matches(&[StringMatch::Prefix(path.to_owned())], None, &BTreeMap::new()),
                direct_response: Some(DirectResponse { status }),
                ..HttpRoute::default()
            };
            (path, route)
        };
        vec![answer("/nginx_status", 403), answer("/healthz", 200)]
    }

    /// One answer to everything that comes to a host without a route for every port: Istio would leave the host out
    /// on the others.
    pub(super) fn rest(routes: &[HttpRoute], status: u16) -> Option<HttpRoute> {
        let any_port = |route: &HttpRoute| {
            route.matches.is_empty() || route.matches.iter().any(|matched| matched.port.is_none())
        };
        (!routes.iter().any(any_port)).then(|| HttpRoute {
            name: Some("not served".to_owned()),
            direct_response: Some(DirectResponse { status }),
            ..HttpRoute::default()
        })
    }

    pub(super) fn matches(
        &self,
        uris: &[StringMatch],
        port: Option<u16>,
        headers: &BTreeMap<String, StringMatch>,
    ) -> Vec<HttpMatch> {
        // nginx's wildcard stands for one label, Envoy's for any number, as does that of an alias.
        let wildcard = self
            .server
            .host
            .strip_prefix("*.")
            .filter(|_| self.server.alias_of.is_none());
        let authority = wildcard.map(|domain| {
            StringMatch::Regex(format!(
                "(?i)[a-z0-9_-]+\\.{}(:[0-9]+)?",
                regex::escape(domain).replace("\\-", "-")
            ))
        });
        uris.iter()
            .map(|uri| HttpMatch {
                uri: Some(uri.clone()),
                authority: authority.clone(),
                headers: headers.clone(),
                port,
            })
            .collect()
    }

    /// Whether http is redirected to https here, and by which condition.
    fn to_https(&self, location: &Location<'a>) -> Option<(Option<u16>, BTreeMap<String, StringMatch>)> {
        let features = &self.member(location)?.features;
        if self.settings.exempt(&location.path) || location.bare {
            return None;
        }
        let says_http = || {
            BTreeMap::from([(
                "x-forwarded-proto".to_owned(),
                StringMatch::Exact("http".to_owned()),
            )])
        };
        let clear = Some(self.options.http_port);
        let Security {
            certain, passthrough, ..
        } = *self.security;
        // Whoever passes TLS through ends none in front of the gateway; nor does nginx with its default certificate, unless
        // something in front of it says so.
        let ends =
            certain || passthrough || self.security.secret.is_some() && !self.settings.forwarded_headers;
        let asked = certain && features.ssl_redirect || ends && features.force_ssl_redirect;
        if asked {
            let headers = if self.settings.forwarded_headers {
                says_http()
            } else {
                BTreeMap::new()
            };
            return Some((clear, headers));
        }
        // Without a certificate TLS ends in front of the gateway, and only the header tells.
        features.force_ssl_redirect.then(|| (None, says_http()))
    }

    fn variants(&self, location: &Location<'a>) -> Vec<Variant> {
        let hsts = self.security.certain && !self.security.passthrough && self.settings.hsts.is_some();
        if !hsts {
            return vec![(None, false)];
        }
        let redirect = self
            .member(location)
            .is_some_and(|m| m.features.redirect.is_some() && !location.bare);
        if self.to_https(location).is_some() && !redirect {
            return vec![(None, true)];
        }
        vec![(Some(self.options.https_port), true), (None, false)]
    }

    fn headers(&self, location: &Location<'a>, hsts: bool) -> Option<Headers> {
        let mut headers = self.member(location)?.features.headers.clone();
        if location.place == Place::Root {
            headers = Headers::default();
        }
        // The authority is the server's, so every location's back end is told.
        let mut members = self
            .server
            .members
            .iter()
            .filter_map(|index| self.members.get(*index));
        if members.any(|member| member.features.unasked) {
            headers::no_certificate(&mut headers.request);
        }
        if let Some(value) = self.settings.hsts.as_ref().filter(|_| hsts) {
            let name = "strict-transport-security".to_owned();
            headers.response.remove.retain(|removed| *removed != name);
            headers.response.set.insert(name, value.clone());
        }
        let any = !headers.request.is_empty() || !headers.response.is_empty();
        any.then_some(headers)
    }

    /// The routes of a location.
    pub(super) fn routes(
        &self,
        location: &Location<'a>,
        shape: &Shape,
        split: Option<&Split<'_>>,
    ) -> Vec<HttpRoute> {
        let Some(member) = self.member(location) else {
            return Vec::new();
        };
        let meta = &member.ingress.meta;
        let name = Some(format!("{}/{} {}", meta.namespace, meta.name, location.path));
        let none = BTreeMap::new();
        let mut routes = Vec::new();
        let mut push = |matches: Vec<HttpMatch>, route: HttpRoute| {
            routes.push(HttpRoute {
                name: name.clone(),
                matches,
                ..route
            });
        };
        if let Some(missing) = self.without_slash(location) {
            let redirect = Redirect {
                uri: Some(location.path.clone()),
                redirect_code: 301,
                ..Redirect::default()
            };
            let matches = self.matches(&[missing], None, &none);
            push(matches, redirecting(redirect));
        }
        if let Some(redirect) = member.features.redirect.as_ref().filter(|_| !location.bare) {
            for (port, hsts) in self.variants(location) {
                let mut route = redirecting(redirect.clone());
                route.headers = self.headers(location, hsts);
                push(self.matches(&shape.uris, port, &none), route);
            }
            return routes;
        }
        if let Some((port, headers)) = self.to_https(location) {
            let redirect = Redirect {
                scheme: Some("https".to_owned()),
                redirect_code: self.settings.redirect_code,
                ..Redirect::default()
            };
            push(self.matches(&shape.uris, port, &headers), redirecting(redirect));
        }
        let Some(resolved) = &location.resolved else {
            return routes;
        };
        let arms = split.map_or_else(
            || vec![(BTreeMap::new(), Arm::Primary)],
            |split| split.rules.arms(),
        );
        for (headers, arm) in arms {
            let destinations = destinations(resolved, split, arm);
            for (port, hsts) in self.variants(location) {
                let route = self.serving(location, shape, hsts, destinations.clone());
                push(self.matches(&shape.uris, port, &headers), route);
            }
        }
        routes
    }

    fn serving(
        &self,
        location: &Location<'a>,
        shape: &Shape,
        hsts: bool,
        destinations: Vec<(&Destination, Option<u32>)>,
    ) -> HttpRoute {
        let features = self.member(location).map(|member| &member.features);
        let authority = features.and_then(|f| f.vhost.clone());
        let rewrite = (authority.is_some() || shape.rewrite.is_some()).then(|| Rewrite {
            authority,
            uri_regex_rewrite: shape.rewrite.clone(),
        });
        let weighted = |(destination, weight): (&Destination, Option<u32>)| WeightedDestination {
            destination: destination.clone(),
            weight,
        };
        HttpRoute {
            route: destinations.into_iter().map(weighted).collect(),
            rewrite,
            retries: Some(features.map_or_else(|| retries::usual(self.settings), |f| f.retries.clone())),
            cors_policy: features.and_then(|f| f.cors.clone()),
            headers: self.headers(location, hsts),
            ..HttpRoute::default()
        }
    }

    /// A route that answers 503 instead of letting another location have the requests of a refused one.
    pub(super) fn closed(&self, location: &Location<'a>, uris: &[StringMatch]) -> HttpRoute {
        HttpRoute {
            name: Some(format!("refused {}", location.place.field())),
            matches: self.matches(uris, None, &BTreeMap::new()),
            direct_response: Some(DirectResponse { status: 503 }),
            ..HttpRoute::default()
        }
    }

    /// A route that answers 503 to hosts that are known by their authority alone.
    pub(super) fn closed_hosts<'h>(hosts: impl Iterator<Item = &'h String>) -> Option<HttpRoute> {
        let authority = |host: &String| {
            let host = regex::escape(host).replace("\\-", "-");
            StringMatch::Regex(format!("(?i){host}(:[0-9]+)?"))
        };
        let matches: Vec<HttpMatch> = hosts
            .map(|host| HttpMatch {
                authority: Some(authority(host)),
                ..HttpMatch::default()
            })
            .collect();
        (!matches.is_empty()).then(|| HttpRoute {
            name: Some("hosts that are not served".to_owned()),
            matches,
            direct_response: Some(DirectResponse { status: 503 }),
            ..HttpRoute::default()
        })
    }

    /// A route that answers 503 to spellings of a location's path that its address list does not know.
    pub(super) fn misspelled(&self, location: &Location<'a>, uris: &[StringMatch]) -> HttpRoute {
        HttpRoute {
            name: Some(format!("other spellings {}", location.place.field())),
            ..self.closed(location, uris)
        }
    }

    /// nginx redirects `/foo` to `/foo/` where only the latter is a location, be it exact or a prefix.
    fn without_slash(&self, location: &Location<'a>) -> Option<StringMatch> {
        let bare = location.path.strip_suffix('/').filter(|bare| !bare.is_empty())?;
        let fits = !self.server.regex && !self.server.has_any(bare);
        fits.then(|| StringMatch::Exact(bare.to_owned()))
    }
}

fn redirecting(redirect: Redirect) -> HttpRoute {
    HttpRoute {
        redirect: Some(redirect),
        ..HttpRoute::default()
    }
}

fn destinations<'b>(
    resolved: &'b Resolved,
    split: Option<&Split<'b>>,
    arm: Arm,
) -> Vec<(&'b Destination, Option<u32>)> {
    let primary = (&resolved.destination, None);
    let Some(split) = split else { return vec![primary] };
    let canary = (split.destination, None);
    let (weight, total) = (split.rules.weight, split.rules.total);
    match arm {
        Arm::Primary => vec![primary],
        Arm::Canary => vec![canary],
        Arm::Split if weight == 0 => vec![primary],
        Arm::Split if weight >= total => vec![canary],
        Arm::Split => vec![
            (&resolved.destination, Some(total - weight)),
            (split.destination, Some(weight)),
        ],
    }
}
