//! Ingresses and the controller's settings to Istio objects.
//!
//! The way: settings → Ingresses of the controller, oldest first ([`select`]) → what their annotations ask for
//! ([`features`]) → nginx's servers and locations ([`servers`]) → what is refused, back ends and canaries
//! ([`prepare`], [`share`]) → objects ([`emit`]).
//!
//! Nothing is exposed that was protected: a route whose control cannot be kept is refused unless its code is in the
//! accept list. A refused path answers 503 where another path of its host would have its requests otherwise.

mod access;
mod address;
mod age;
mod annotations;
mod backend;
mod balance;
mod book;
mod canary;
mod ciphers;
mod closing;
mod controller;
mod cors;
mod emit;
mod features;
mod gateway;
mod gateway_api;
mod headers;
mod host;
mod names;
mod objects;
mod options;
mod passthrough;
mod pattern;
mod policy;
mod prepare;
mod retries;
mod routes;
mod select;
mod servers;
mod settings;
mod shape;
mod share;
mod snippet;
mod spelling;
mod spoilt;
mod taken;
mod tls;
mod unconverted;
mod www;

pub use objects::Objects;
pub use options::{GatewayApi, Options, Target};
pub use settings::{Setting, setting};

pub(crate) use address::{is_authority, is_range};
pub(crate) use ciphers::KNOWN as CIPHERS;
pub(crate) use cors::METHODS as CORS_METHODS;
pub(crate) use headers::is_name as is_header_name;
pub(crate) use names::{is_host, is_label};
pub(crate) use pattern::LONGEST as LONGEST_REGEX;

use crate::input::{Inventory, Key};
use crate::istio::Meta;
use crate::report::{Code, Entry, InputEntry, Report};
use crate::rules::Broken;
use book::Book;
use serde_json::Value;
use servers::{Member, Server};
use spoilt::Spoilt;
use std::collections::{BTreeMap, BTreeSet};

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// Gateways, then `VirtualServices`, `DestinationRules` and `AuthorizationPolicies`, each by namespace and name; of
    /// the Gateway API Gateways, `HTTPRoutes` and `ReferenceGrants`.
    pub objects: Vec<Value>,
    /// What became of everything.
    pub report: Report,
}

/// An object that could not be made; a mistake of this crate.
#[derive(Debug, thiserror::Error)]
#[error("unable to make an object: {0}")]
pub struct Failed(String);

/// What will be written, and what became of everything.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The objects; kept small, and made one by one.
    pub objects: Objects,
    /// What became of everything.
    pub report: Report,
    /// Rules that objects break all the same; a mistake of this crate. Nothing of it may be applied.
    pub broken: Vec<Broken>,
}

/// The controller's ConfigMap that a conversion goes by.
pub fn controller_config(inventory: &Inventory, options: &Options) -> Option<Key> {
    let mut unused = Vec::new();
    let flags = controller::flags(inventory, options, &mut unused);
    let found = controller::config(inventory, options, &flags, &mut unused)?;
    Some(found.meta.key())
}

/// The Ingresses that the controller serves: of its class, and of a namespace that it watches. Those that may be its are
/// among them.
pub fn served(inventory: &Inventory, options: &Options) -> BTreeSet<Key> {
    let (settings, _) = settings::read(inventory, options);
    let mut unused = Book::new(options);
    let all = inventory.ingresses.values();
    let served = all.filter(|ingress| select::unserved(ingress, &settings, &mut unused).is_none());
    served.map(|ingress| ingress.meta.key()).collect()
}

/// Converts. The same objects and options give the same result, in whatever order they were read.
pub fn convert(inventory: &Inventory, options: &Options) -> Result<Conversion, Failed> {
    let plan = plan(inventory, options)?;
    let objects = plan.objects.values().collect::<Result<_, _>>()?;
    Ok(Conversion {
        objects,
        report: plan.report,
    })
}

/// The same, for thousands of Ingresses: the objects are not all there at once.
pub fn plan(inventory: &Inventory, options: &Options) -> Result<Plan, Failed> {
    let mut spoilt = Spoilt::default();
    loop {
        let mut plan = once(inventory, options, &spoilt);
        let before = spoilt.clone();
        let mut broken = Vec::new();
        plan.objects.check(|object, found| {
            spoilt.learn(object, &found);
            broken.extend(found);
        })?;
        if spoilt == before {
            plan.broken = broken;
            return Ok(plan);
        }
    }
}

fn once(inventory: &Inventory, options: &Options, spoilt: &Spoilt) -> Plan {
    let (settings, mut controller) = settings::read(inventory, options);
    let mut book = Book::new(options);
    let members = select::members(inventory, &settings, &mut book);
    let (mut servers, duplicates) = servers::build(&members);
    prepare::duplicates(&members, &duplicates, &mut book);
    aliases(&mut servers, &members, &settings, &mut book);
    let mut policies = policy::Policies::default();
    prepare::locations(
        &mut servers,
        &members,
        inventory,
        options,
        &mut policies,
        spoilt,
        &mut book,
    );
    prepare::nowhere(&mut servers, &members, &settings, inventory, options, &mut book);
    let canaries = share::canaries(
        &servers,
        &members,
        inventory,
        options,
        &mut policies,
        spoilt,
        &mut book,
    );
    let written = emit::Emitter {
        members: &members,
        servers: &servers,
        canaries: &canaries,
        policies: &policies,
        settings: &settings,
        inventory,
        options,
    }
    .run(&mut book);
    select::rest(&members, &mut book);
    controller.extend(written.controller.iter().map(|code| Entry::new(*code, "", "")));
    if written.hosts > gateway::MOST_HOSTS {
        controller.push(Entry::new(Code::GatewayLarge, "", written.hosts.to_string()));
    }
    let controller = controller
        .into_iter()
        .map(|entry| book.judged(None, entry))
        .collect();
    let mut report = Report {
        input: inventory.problems.iter().map(InputEntry::from).collect(),
        controller,
        ingresses: book.finish(inventory.ingresses.values()),
        secrets: written.secrets.into_iter().collect(),
        ..Report::default()
    };
    report.count();
    Plan {
        objects: written.objects,
        report,
        broken: Vec::new(),
    }
}

/// Gives servers the other names that the oldest Ingress with some asks for, where no rule has them. Each is a server
/// of its own: a wildcard server tells its hosts by their authority, and whether nginx has a certificate for an alias
/// depends on the alias.
fn aliases<'a>(
    servers: &mut BTreeMap<String, Server<'a>>,
    members: &[Member<'a>],
    settings: &settings::Settings,
    book: &mut Book<'_>,
) {
    let mut more: BTreeMap<String, Server<'a>> = BTreeMap::new();
    // Of two servers with one name nginx keeps the first that is written; the catch-all is called `_` there.
    let mut order: Vec<&Server<'a>> = servers.values().collect();
    order.sort_by_key(|server| {
        if server.host == "*" {
            "_"
        } else {
            server.host.as_str()
        }
    });
    for server in order {
        let mut asking = server.members.iter().filter_map(|index| members.get(*index));
        // An Ingress without rules has no host that could have another name.
        let Some(member) = asking.find(|m| !m.features.aliases.is_empty() && !m.ingress.rules.is_empty())
        else {
            continue;
        };
        for alias in &member.features.aliases {
            if servers.contains_key(alias) || more.contains_key(alias) {
                let field = format!("metadata.annotations[{}/server-alias]", settings.prefix);
                book.note(
                    member.ingress,
                    Entry::new(Code::AliasInvalid, field, alias.clone()),
                );
                continue;
            }
            let further = Server {
                host: alias.clone(),
                alias_of: Some(server.host.clone()),
                ..server.clone()
            };
            more.insert(alias.clone(), further);
        }
    }
    servers.extend(more);
}

/// The namespace of a server: that of its oldest Ingress that is known whole and has one that can be.
fn namespace(server: &Server<'_>, members: &[Member<'_>], options: &Options) -> String {
    let all = || server.members.iter().filter_map(|index| members.get(*index));
    let named = |member: &&Member<'_>| is_label(&member.ingress.meta.namespace);
    let whole = all().filter(|member| !member.ghost).find(named);
    whole.or_else(|| all().find(named)).map_or_else(
        || options.gateway_namespace.clone(),
        |member| member.ingress.meta.namespace.clone(),
    )
}

/// `namespace/name` of a server's `VirtualService`.
fn virtual_service_key(server: &Server<'_>, members: &[Member<'_>], options: &Options) -> String {
    let namespace = namespace(server, members, options);
    format!("{namespace}/{}", names::label(&server.host, &[&server.host]))
}

/// What all objects have in common.
fn meta() -> Meta {
    Meta {
        labels: BTreeMap::from([(
            "app.kubernetes.io/managed-by".to_owned(),
            "gradual-rollout".to_owned(),
        )]),
        ..Meta::default()
    }
}
