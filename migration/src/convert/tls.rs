//! Which certificate a server shows: the oldest Ingress of the host with a `tls` section decides.

use super::Options;
use super::book::Book;
use super::gateway;
use super::names;
use super::servers::{Member, Server};
use super::settings::Settings;
use crate::input::{Inventory, Key, Tls};
use crate::report::{Code, Entry, SecretCopy};
use std::collections::{BTreeMap, BTreeSet};

/// What a server does about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Security {
    /// Whether nginx has a certificate for it, so that it redirects to https.
    pub certain: bool,
    /// The Secret, where a server can be written.
    pub secret: Option<Key>,
    /// Whether TLS is passed through to the back end.
    pub passthrough: bool,
}

/// Decides for every server. A host without a certificate has that of the wildcard host that stands for it, and is
/// redirected to https like it.
pub(super) fn all(
    servers: &BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    settings: &Settings,
    inventory: &Inventory,
    options: &Options,
    book: &mut Book<'_>,
) -> BTreeMap<String, Security> {
    let mut decided = alone(servers, members, settings, inventory, book);
    same(&mut decided, servers, members, settings, inventory, options, book);
    decided
}

/// The same, whatever others show.
fn alone(
    servers: &BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    settings: &Settings,
    inventory: &Inventory,
    book: &mut Book<'_>,
) -> BTreeMap<String, Security> {
    let mut decided: BTreeMap<String, Security> = BTreeMap::new();
    for (host, server) in servers {
        decided.insert(host.clone(), decide(server, members, settings, inventory, book));
    }
    let inherit = |(host, own): (&String, &Security)| {
        let (_, domain) = host.split_once('.')?;
        let wildcard = decided.get(&format!("*.{domain}"))?;
        let lacks = !own.certain && !host.starts_with('*');
        let security = if own.passthrough {
            Security {
                certain: true,
                ..own.clone()
            }
        } else {
            wildcard.clone()
        };
        (lacks && wildcard.certain).then(|| (host.clone(), security))
    };
    let inherited: Vec<_> = decided.iter().filter_map(inherit).collect();
    decided.extend(inherited);
    decided
}

/// Browsers use a connection for every host of its certificate, so hosts of one certificate have to be in one server, whatever
/// Secrets they name. Where the platform has it, as the default or in the gateway's namespace, that one is shown; a tenant's is
/// no other tenant's to rely on, so where only they have it, it is told.
fn same(
    decided: &mut BTreeMap<String, Security>,
    servers: &BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    settings: &Settings,
    inventory: &Inventory,
    options: &Options,
    book: &mut Book<'_>,
) {
    let of = |key: &Key| inventory.secrets.get(key)?.certificate;
    let mut platform: BTreeMap<u64, Key> = BTreeMap::new();
    let home = inventory.secrets.iter().filter(|((namespace, _), secret)| {
        // What was copied there is no certificate of its own.
        let copied = secret.meta.labels.get("app.kubernetes.io/managed-by");
        *namespace == options.gateway_namespace && copied.is_none_or(|by| by != "gradual-rollout")
    });
    for (key, _) in home {
        if let Some(certificate) = of(key) {
            platform.entry(certificate).or_insert_with(|| key.clone());
        }
    }
    if let Some((key, certificate)) = settings
        .default_certificate
        .as_ref()
        .and_then(|key| Some((key, of(key)?)))
    {
        platform.insert(certificate, key.clone());
    }
    let mut named: BTreeMap<u64, BTreeSet<Key>> = BTreeMap::new();
    for key in decided
        .values_mut()
        .filter_map(|security| security.secret.as_mut())
    {
        let Some(certificate) = of(key) else { continue };
        if let Some(known) = platform.get(&certificate) {
            known.clone_into(key);
        }
        named.entry(certificate).or_default().insert(key.clone());
    }
    for (host, security) in decided.iter() {
        let Some(key) = &security.secret else { continue };
        let others: Vec<String> = of(key)
            .and_then(|certificate| named.get(&certificate))
            .into_iter()
            .flatten()
            .filter(|other| *other != key)
            .map(|(namespace, name)| format!("{namespace}/{name}"))
            .collect();
        let member = servers
            .get(host)
            .and_then(|server| members.get(*server.members.first()?));
        if let Some(member) = member.filter(|_| !others.is_empty()) {
            let entry = Entry::new(Code::SameCertificate, "spec.tls", key.1.clone());
            book.note(
                member.ingress,
                entry.with(format!("{host}; also in {}", others.join(", "))),
            );
        }
    }
}

/// Whether TLS of a server is passed through: the oldest Ingress of the host decides, for all of its paths. nginx holds the
/// name that a client asks for against that of the host, letter by letter: a wildcard and a further name are never asked for.
pub(super) fn passes(server: &Server<'_>, members: &[Member<'_>]) -> bool {
    let exact = !server.host.starts_with('*') && server.alias_of.is_none();
    exact && asks(server, members)
}

/// Whether somebody asks for that under a wildcard, which nginx passes nothing through for.
pub(super) fn passes_nothing(server: &Server<'_>, members: &[Member<'_>]) -> bool {
    server.host.starts_with("*.") && server.alias_of.is_none() && asks(server, members)
}

fn asks(server: &Server<'_>, members: &[Member<'_>]) -> bool {
    let oldest = server.members.first().and_then(|index| members.get(*index));
    oldest.is_some_and(|member| member.features.passthrough)
}

/// What a host that would have passed TLS through shows while it is closed: what the wildcard over it shows, whose
/// server would have its connections otherwise.
pub(super) fn closed(host: &str, decided: &BTreeMap<String, Security>, settings: &Settings) -> Security {
    let over = gateway::wildcards(host).find_map(|wildcard| decided.get(&wildcard)?.secret.clone());
    Security {
        secret: over.or_else(|| settings.default_certificate.clone()),
        ..Security::default()
    }
}

/// Hosts that no server of the gateway would have over TLS, and whether nginx has a certificate of their own for them. It
/// speaks TLS for all of them, with its default certificate, and which one that is is not known.
pub(super) fn lacking(
    servers: &BTreeMap<String, Server<'_>>,
    members: &[Member<'_>],
    settings: &Settings,
    inventory: &Inventory,
    options: &Options,
) -> BTreeMap<String, bool> {
    // What is found is told when it is decided.
    let mut unread = Book::new(options);
    let decided = alone(servers, members, settings, inventory, &mut unread);
    let lacks = |security: &Security| security.secret.is_none() && !security.passthrough;
    let without = decided.into_iter().filter(|(_, security)| lacks(security));
    without.map(|(host, security)| (host, security.certain)).collect()
}

/// Decides for a server.
fn decide(
    server: &Server<'_>,
    members: &[Member<'_>],
    settings: &Settings,
    inventory: &Inventory,
    book: &mut Book<'_>,
) -> Security {
    let of = |index: &usize| members.get(*index);
    if passes(server, members) {
        // In clear it redirects to https as if the certificate were nginx's own.
        let certain = |member: &Member<'_>| !member.ingress.tls.is_empty();
        return Security {
            certain: server.members.iter().filter_map(of).any(certain),
            secret: None,
            passthrough: true,
        };
    }
    let mut with_tls = server
        .members
        .iter()
        .filter_map(of)
        .filter(|member| !member.ingress.tls.is_empty());
    // The server for unknown hosts always has the default certificate, and never redirects.
    if server.host == "*" {
        return Security {
            secret: settings.default_certificate.clone(),
            ..Security::default()
        };
    }
    // nginx speaks TLS for every host, with its default certificate if need be; where that is known, so does the
    // gateway.
    let uncertified = Security {
        secret: settings.default_certificate.clone(),
        ..Security::default()
    };
    let Some(first) = with_tls.next() else {
        return uncertified;
    };
    // An alias only has a certificate where a tls section names it.
    let named = |member: &Member<'_>| {
        let mut names = member.ingress.tls.iter().flat_map(|entry| &entry.hosts);
        names.any(|name| name.eq_ignore_ascii_case(&server.host))
    };
    if server.alias_of.is_some() && !server.members.iter().filter_map(of).any(named) {
        return uncertified;
    }
    let chosen = choose(&first.ingress.tls, &server.host);
    for other in with_tls {
        let namespace = |m: &Member<'_>| m.ingress.meta.namespace.clone();
        let theirs = choose(&other.ingress.tls, &server.host);
        if theirs.name() != chosen.name() || namespace(other) != namespace(first) {
            let value = theirs.name().unwrap_or_default();
            book.note(
                other.ingress,
                Entry::new(Code::TlsIgnored, "spec.tls", value).with(server.host.clone()),
            );
        }
    }
    let mut note = |code: Code, value: &str| {
        book.note(
            first.ingress,
            Entry::new(code, "spec.tls", value).with(server.host.clone()),
        );
    };
    let secret = chosen.name().and_then(|name| {
        if matches!(chosen, Choice::Guessed(_)) {
            note(Code::SecretGuessed, name);
        }
        let key = (first.ingress.meta.namespace.clone(), name.to_owned());
        match inventory.secrets.get(&key) {
            None => note(Code::SecretMissing, name),
            Some(secret) if !secret.has_certificate() => {
                note(Code::SecretInvalid, name);
                return None;
            }
            Some(_) => {}
        }
        Some(key)
    });
    let secret = secret.or_else(|| {
        if settings.default_certificate.is_none() {
            note(Code::DefaultCertificate, "");
        }
        settings.default_certificate.clone()
    });
    Security {
        certain: true,
        secret,
        passthrough: false,
    }
}

enum Choice<'a> {
    Named(&'a str),
    Guessed(&'a str),
    Default,
}

impl<'a> Choice<'a> {
    fn name(&self) -> Option<&'a str> {
        match self {
            Self::Named(name) | Self::Guessed(name) => Some(name),
            Self::Default => None,
        }
    }
}

fn choose<'a>(tls: &'a [Tls], host: &str) -> Choice<'a> {
    let secret = |entry: &'a Tls| entry.secret_name.as_deref().filter(|name| !name.is_empty());
    let names = |entry: &Tls| entry.hosts.iter().any(|name| name.eq_ignore_ascii_case(host));
    if let Some(entry) = tls.iter().find(|entry| names(entry)) {
        return secret(entry).map_or(Choice::Default, Choice::Named);
    }
    // nginx looks into the certificates; here only the names in the Ingress can be held against the host.
    let covers = |entry: &&Tls| {
        entry.hosts.is_empty()
            || entry
                .hosts
                .iter()
                .any(|name| covers(&name.to_ascii_lowercase(), host))
    };
    let guessed = tls.iter().filter(|entry| secret(entry).is_some()).find(covers);
    guessed.and_then(secret).map_or(Choice::Default, Choice::Guessed)
}

/// Whether a wildcard stands for a host: for one label.
pub(super) fn covers(wildcard: &str, host: &str) -> bool {
    let Some(domain) = wildcard.strip_prefix("*.") else {
        return false;
    };
    host.split_once('.')
        .is_some_and(|(label, rest)| label != "*" && rest == domain)
}

/// Hosts of `tls` that no rule has.
pub(super) fn unused(member: &Member<'_>, book: &mut Book<'_>) {
    let ingress = member.ingress;
    let hosts: BTreeSet<String> = ingress
        .rules
        .iter()
        .filter_map(|rule| rule.host.as_ref())
        .chain(&member.features.aliases)
        .map(|host| host.to_ascii_lowercase())
        .collect();
    for (index, entry) in ingress.tls.iter().enumerate() {
        for name in &entry.hosts {
            let lower = name.to_ascii_lowercase();
            let used = hosts.contains(&lower) || hosts.iter().any(|host| covers(&lower, host));
            if !used {
                let field = format!("spec.tls[{index}].hosts");
                book.note(ingress, Entry::new(Code::TlsHostUnused, field, name.clone()));
            }
        }
    }
}

/// The Secret's name in the gateway's namespace, and the copy that is needed for it.
pub(super) fn credential(secret: &Key, options: &Options) -> (String, Option<SecretCopy>) {
    let (namespace, name) = secret;
    if *namespace == options.gateway_namespace {
        return (name.clone(), None);
    }
    let to = names::label(&format!("{namespace}-{name}"), &[namespace, name]);
    let copy = SecretCopy {
        from_namespace: namespace.clone(),
        from_name: name.clone(),
        to_namespace: options.gateway_namespace.clone(),
        to_name: to.clone(),
    };
    (to, Some(copy))
}
