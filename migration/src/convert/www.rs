//! The name with or without `www` that redirects to a host.

use super::book::Book;
use super::emit::Emitter;
use super::names;
use super::routes::Scene;
use super::servers::{Member, Server};
use super::tls;
use crate::istio::{HttpRoute, Redirect, VirtualService};
use crate::report::{Code, Entry};
use std::collections::BTreeSet;

impl Emitter<'_, '_> {
    /// The other name of a server, with or without `www`, that redirects to it. Where who asks for that is refused, or
    /// nothing of the host is served, the name is closed, if a wildcard would have its requests otherwise.
    pub(super) fn www(
        &self,
        server: &Server<'_>,
        served: bool,
        names: &mut BTreeSet<String>,
        book: &mut Book<'_>,
    ) -> Option<(String, VirtualService)> {
        let members = server.members.iter().filter_map(|index| self.members.get(*index));
        let asking: Vec<&Member<'_>> = members.filter(|m| m.features.www_redirect).collect();
        let member = asking.iter().find(|m| m.refused.is_empty() && served);
        let field = || {
            format!(
                "metadata.annotations[{}/from-to-www-redirect]",
                self.settings.prefix
            )
        };
        if let Some(member) = member.filter(|_| tls::passes(server, self.members)) {
            book.note(member.ingress, Entry::new(Code::WwwPassthrough, field(), "true"));
            return None;
        }
        if asking.is_empty() || server.host.starts_with('*') || server.alias_of.is_some() {
            return None;
        }
        let other = server
            .host
            .strip_prefix("www.")
            .map_or_else(|| format!("www.{}", server.host), ToOwned::to_owned);
        let free = other.contains('.') && names.insert(other.clone());
        if let Some(member) = member {
            let code = if free { Code::WwwRedirect } else { Code::WwwTaken };
            let entry = Entry::new(code, field(), "true").with(other.clone());
            book.note(member.ingress, entry);
        } else if !self.covered(&other) || !names::is_written(&other) {
            return None;
        }
        let redirect = || Redirect {
            authority: Some(server.host.clone()),
            redirect_code: self.settings.redirect_code,
            ..Redirect::default()
        };
        let redirecting = || HttpRoute {
            redirect: Some(redirect()),
            ..HttpRoute::default()
        };
        free.then(|| {
            let http = if member.is_some() {
                vec![redirecting()]
            } else {
                Scene::rest(&[], 503).into_iter().collect()
            };
            let spec = VirtualService {
                hosts: vec![other.clone()],
                http,
                ..VirtualService::default()
            };
            (other, spec)
        })
    }
}
