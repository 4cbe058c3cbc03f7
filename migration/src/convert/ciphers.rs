//! Ciphers of TLS up to 1.2. nginx has a list in OpenSSL's own language for each host; a Gateway's server has names, of which
//! Envoy knows a few, and hosts of one certificate share a server. Those of TLS 1.3 are chosen by neither.

use super::book::Book;
use super::emit::{Emitter, Served};
use super::options::Target;
use super::servers::{Member, Server};
use super::tls;
use crate::report::{Code, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// What `tls.cipherSuites` of a Gateway takes (Istio, `ValidCipherSuites`).
pub(crate) const KNOWN: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

/// What OpenSSL calls groups of ciphers of which none is among those.
const STRANGE: &[&str] = &[
    "aNULL", "eNULL", "NULL", "EXPORT", "EXP", "LOW", "DES", "MD5", "RC4", "PSK", "SRP", "DSS", "aDSS",
    "ADH", "AECDH", "kECDH", "aECDH", "kDHE", "DHE", "kEDH", "EDH", "IDEA", "SEED", "CAMELLIA", "ARIA",
    "KRB5",
];

/// Where the controller has its list.
pub(super) const SETTING: &str = "ssl-ciphers";

/// What of a list can be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    /// Names, in their order.
    pub names: Vec<String>,
    /// What is left out: names and groups that Envoy does not know.
    pub lost: Vec<String>,
}

/// Reads a list, or says why nothing can be made of it. More than nginx takes is never made of one.
pub(super) fn read(text: &str) -> Result<List, String> {
    let mut list = List::default();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for part in text.split([':', ',', ' ']).filter(|part| !part.is_empty()) {
        if let Some(away) = part.strip_prefix(['!', '-']) {
            match away {
                "3DES" => taken.insert("DES-CBC3-SHA"),
                away if KNOWN.contains(&away) => taken.insert(away),
                away if STRANGE.contains(&away) => true,
                _ => return Err(format!("which ciphers {part} takes away is not known here")),
            };
        } else if part.starts_with('+') || part == "@STRENGTH" {
            // Another order of the same.
        } else if !KNOWN.contains(&part) {
            list.lost.push(part.to_owned());
        } else if !list.names.iter().any(|name| name == part) {
            list.names.push(part.to_owned());
        }
    }
    list.names.retain(|name| !taken.contains(name.as_str()));
    if list.names.is_empty() {
        return Err("it names none that Envoy knows".to_owned());
    }
    Ok(list)
}

impl List {
    /// What is told where some of it is lost.
    pub(super) fn missing(&self) -> Option<String> {
        (!self.lost.is_empty()).then(|| format!("without {}", self.lost.join(", ")))
    }
}

/// The Ingress whose list a server has: the oldest with one.
fn asking<'a, 'b>(server: &Server<'_>, members: &'b [Member<'a>]) -> Option<&'b Member<'a>> {
    let mut all = server.members.iter().filter_map(|index| members.get(*index));
    all.find(|member| member.features.ciphers.is_some())
}

impl Emitter<'_, '_> {
    /// The ciphers of each certificate's server, by the Secret's name: those on which all of its hosts agree. What becomes of
    /// every list is told.
    pub(super) fn ciphers(&self, served: &[Served], book: &mut Book<'_>) -> BTreeMap<String, Vec<String>> {
        let mut wanted: BTreeMap<String, BTreeSet<Option<Vec<String>>>> = BTreeMap::new();
        let mut shown: BTreeMap<&str, String> = BTreeMap::new();
        for host in served.iter().filter(|host| !host.security.passthrough) {
            let Some(secret) = &host.security.secret else {
                continue;
            };
            let (credential, _) = tls::credential(secret, self.options);
            let own = self.servers.get(&host.host);
            let own = own.and_then(|server| asking(server, self.members)?.features.ciphers.as_ref());
            let list = own.or(self.settings.ciphers.as_ref());
            let names = list.and_then(|text| Some(read(text).ok()?.names));
            wanted.entry(credential.clone()).or_default().insert(names);
            shown.insert(&host.host, credential);
        }
        let agreed = |(credential, mut lists): (String, BTreeSet<Option<Vec<String>>>)| {
            let one = lists.pop_first().flatten();
            Some((credential, one.filter(|_| lists.is_empty())?))
        };
        let kept: BTreeMap<String, Vec<String>> = match self.options.target {
            Target::Istio => wanted.into_iter().filter_map(agreed).collect(),
            Target::GatewayApi(_) => BTreeMap::new(),
        };
        for server in self.servers.values().filter(|server| server.alias_of.is_none()) {
            let credential = shown.get(server.host.as_str());
            let written = credential.is_some_and(|credential| kept.contains_key(credential));
            let lost = match (&self.options.target, credential) {
                (Target::GatewayApi(_), _) => "the Gateway API has no field for it",
                (Target::Istio, None) => "no server with TLS is written for it",
                (Target::Istio, Some(_)) => {
                    "another host of its certificate has another list, or none, and they share a server"
                }
            };
            self.tell_ciphers(server, (!written).then_some(lost), book);
        }
        kept
    }

    fn tell_ciphers(&self, server: &Server<'_>, lost: Option<&str>, book: &mut Book<'_>) {
        let field = format!("metadata.annotations[{}/{SETTING}]", self.settings.prefix);
        let asking = asking(server, self.members);
        let told = |text: &str| {
            let decides = asking.is_some_and(|asking| asking.features.ciphers.as_deref() == Some(text));
            let entry = |code: Code, why: String| {
                let entry = Entry::new(code, field.clone(), text);
                Some(entry.with(format!("{}: {why}", server.host)))
            };
            match (read(text), lost) {
                _ if !decides => entry(
                    Code::TlsCiphers,
                    "an older Ingress of the host decides".to_owned(),
                ),
                (Err(why), _) => entry(Code::TlsCiphers, why),
                (Ok(_), Some(lost)) => entry(Code::TlsCiphers, lost.to_owned()),
                (Ok(list), None) => entry(Code::TlsCiphersPart, list.missing()?),
            }
        };
        let members = server.members.iter().filter_map(|index| self.members.get(*index));
        let mut all: Vec<_> = members
            .clone()
            .filter_map(|member| Some((member.ingress, told(member.features.ciphers.as_deref()?)?)))
            .collect();
        // The controller's list is told once; here only where a host does not get what can be made of it.
        let common = self.settings.ciphers.as_ref().filter(|_| asking.is_none());
        if let (Some(text), Some(lost), Target::Istio) = (common, lost, &self.options.target)
            && read(text).is_ok()
            && let Some(member) = members.clone().next()
        {
            let entry = Entry::new(
                Code::TlsCiphers,
                format!("ConfigMap data.{SETTING}"),
                text.clone(),
            );
            all.push((member.ingress, entry.with(format!("{}: {lost}", server.host))));
        }
        for (ingress, entry) in all {
            book.note(ingress, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_envoy_knows_are_kept_in_their_order_and_others_are_told() {
        let list = read("ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:AES128-SHA:TLS_AES_128_GCM_SHA256:HIGH:!aNULL:!MD5")
            .unwrap();
        assert_eq!(list.names, ["ECDHE-RSA-AES256-GCM-SHA384", "AES128-SHA"]);
        assert_eq!(
            list.lost,
            ["DHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256", "HIGH"]
        );
    }

    #[test]
    fn nothing_is_made_of_a_list_that_would_let_in_what_nginx_does_not() {
        for text in ["AES128-SHA:!SHA1", "AES128-SHA:-AES", "AES128-SHA:!kRSA"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(
            read("AES128-SHA:DES-CBC3-SHA:AES256-SHA:!3DES:!AES256-SHA")
                .unwrap()
                .names,
            ["AES128-SHA"]
        );
        for none in ["HIGH:!aNULL", "", "AES128-SHA:!AES128-SHA", "DEFAULT"] {
            assert!(read(none).is_err(), "{none}");
        }
    }
}
