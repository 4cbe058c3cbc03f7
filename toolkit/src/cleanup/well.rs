//! Whether what serves a host in nginx's place is well: all that `validate` asks, of what an Ingress goes over to.

use crate::apply::gateway;
use crate::apply::live::hosts;
use crate::apply::needs;
use crate::apply::read::from;
use crate::cluster;
use crate::finding::{Finding, Severity};
use crate::rollback::plan::named;
use crate::standing::{One, Standing};
use serde_json::Value;
use std::collections::BTreeSet;

/// The blockers of what serves one Ingress at the gateway: its routes and what these need, its hosts, the Gateways that they
/// are bound to, and the certificates that are shown for them.
pub fn blockers<'a>(all: &'a [Finding], one: &One, standing: &Standing) -> Vec<&'a Finding> {
    let routes: Vec<&Value> = standing
        .live
        .ours(&cluster::VIRTUAL_SERVICE)
        .filter(|route| from(route).contains(&one.key))
        .collect();
    let mut names: BTreeSet<String> = routes
        .iter()
        .map(|route| named(&cluster::VIRTUAL_SERVICE, route))
        .collect();
    let needed = routes.iter().flat_map(|route| needs::of(route));
    names.extend(needed.map(|needed| needed.split('@').next().unwrap_or(needed).to_owned()));
    names.insert(crate::apply::select::object(&one.key));
    let served: BTreeSet<String> = routes.iter().flat_map(|route| hosts(route)).collect();
    names.extend(served.union(&one.hosts).map(|host| format!("host {host}")));
    let (mut gateways, mut strange) = (BTreeSet::new(), BTreeSet::new());
    for gateway in standing.live.all(&cluster::GATEWAY) {
        if !routes.iter().any(|route| gateway::binds(gateway, route)) {
            continue;
        }
        gateways.insert(named(&cluster::GATEWAY, gateway));
        for (credential, shown) in gateway::showing(gateway) {
            if served.iter().any(|host| covers(host, &shown)) {
                names.extend(copies(standing, &credential));
            } else {
                strange.insert(credential);
            }
        }
    }
    let about = |finding: &&Finding| {
        // A certificate that is missing, or ended, is one of some hosts of a Gateway.
        let others = || {
            let mut all = strange.iter();
            all.any(|credential| finding.message.contains(&format!("/{credential}, which")))
        };
        let at_gateway = gateways.contains(&finding.object)
            && !(["VALIDATE-CERTIFICATE-MISSING", "VALIDATE-CERTIFICATE-ENDED"].contains(&finding.code)
                && others());
        finding.severity == Severity::Blocker && (at_gateway || names.contains(&finding.object))
    };
    all.iter().filter(about).collect()
}

/// Whether a host is one of those that a server of a Gateway has.
fn covers(host: &str, open: &BTreeSet<String>) -> bool {
    open.iter()
        .any(|of| of == "*" || of == host || of.strip_prefix('*').is_some_and(|under| host.ends_with(under)))
}

/// Secrets of a name, wherever they are read.
fn copies(standing: &Standing, credential: &str) -> Vec<String> {
    let all = standing.live.all(&cluster::SECRET);
    all.filter(|secret| cluster::meta(secret, "name") == credential)
        .map(|secret| named(&cluster::SECRET, secret))
        .collect()
}
