//! Which controller it is: its flags, its ConfigMap and its classes. Where that is not certain it is said, and refuses
//! everything: a setting that is not seen may protect every Ingress.

use super::Options;
use super::settings::{PREFIX, key};
use crate::input::{ConfigMap, Inventory, Key, Unread};
use crate::report::{Code, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// Flags by name without dashes.
pub(super) type Flags = BTreeMap<String, String>;

/// Flags whose effect a gateway does not have by itself.
const LOST: &[&str] = &[
    "default-backend-service",
    "disable-catch-all",
    "tcp-services-configmap",
    "udp-services-configmap",
    "watch-namespace",
];

/// Flags that decide about routes.
const READ: &[&str] = &[
    "annotations-prefix",
    "configmap",
    "controller-class",
    "default-ssl-certificate",
    "enable-ssl-passthrough",
    "ingress-class",
    "ingress-class-by-name",
    "watch-namespace-selector",
    "watch-ingress-without-class",
];

/// The flags of the one controller that counts; one without value is `true`.
pub(super) fn flags(inventory: &Inventory, options: &Options, entries: &mut Vec<Entry>) -> Flags {
    let own: Flags = options.controller_flags.iter().map(|flag| parsed(flag)).collect();
    let read = |flags: &Vec<String>| -> Flags { flags.iter().map(|flag| parsed(flag)).collect() };
    let mut all: Vec<Flags> = inventory.controllers.iter().map(read).collect();
    let decisive = |flags: &Flags| -> Flags {
        let decides = |name: &str| READ.contains(&name) || LOST.contains(&name);
        flags
            .clone()
            .into_iter()
            .filter(|(name, _)| decides(name))
            .collect()
    };
    if let Some(class) = &options.ingress_class {
        let serves = |flags: &&Flags| {
            flags.get("ingress-class").map_or("nginx", String::as_str) == class
                || inventory.classes.get(class).map(String::as_str) == Some(named(flags))
        };
        let mine: Vec<Flags> = all.iter().filter(serves).cloned().collect();
        if !mine.is_empty() {
            all = mine;
        }
    }
    if all
        .iter()
        .any(|flags| all.first().map(decisive) != Some(decisive(flags)))
    {
        let entry = Entry::new(
            Code::ControllerAmbiguous,
            "args",
            format!("{} controllers", all.len()),
        );
        entries.push(entry.with("their flags differ; --ingress-class tells them apart"));
    }
    let mut flags: Flags = all.into_iter().flatten().collect();
    flags.extend(own);
    // Namespaces are not read, so which of them it takes is not known.
    if let Some(value) = flags
        .get("watch-namespace-selector")
        .filter(|value| !value.is_empty())
    {
        let field = "flag --watch-namespace-selector";
        entries.push(Entry::new(Code::NamespaceSelector, field, value.clone()));
    }
    for name in ["configmap", "watch-namespace"] {
        if let Some(value) = flags.get(name).filter(|value| value.contains("$(")) {
            let entry = Entry::new(Code::ControllerAmbiguous, format!("flag --{name}"), value.clone());
            entries.push(entry.with("the variable is not known here"));
        }
    }
    flags
}

fn parsed(flag: &str) -> (String, String) {
    let flag = flag.trim().trim_start_matches('-');
    let (name, value) = flag.split_once(['=', ' ']).unwrap_or((flag, "true"));
    (name.to_owned(), value.trim().to_owned())
}

/// What is told of flags.
pub(super) fn lost(flags: &Flags) -> Vec<Entry> {
    let told = LOST
        .iter()
        .filter_map(|name| flags.get_key_value(*name))
        .filter(|(_, value)| *value != "false");
    let mut entries: Vec<Entry> = told
        .map(|(name, value)| Entry::new(Code::ControllerSetting, format!("flag --{name}"), value.clone()))
        .collect();
    let certificate = flags.get("default-ssl-certificate");
    if let Some(value) = certificate.filter(|value| value.contains("$(") || key(value).is_none()) {
        entries.push(Entry::new(
            Code::InvalidValue,
            "flag --default-ssl-certificate",
            value.clone(),
        ));
    }
    entries
}

/// The controller's ConfigMap.
pub(super) fn config<'a>(
    inventory: &'a Inventory,
    options: &Options,
    flags: &Flags,
    entries: &mut Vec<Entry>,
) -> Option<&'a ConfigMap> {
    entries.extend(unread(inventory, options, flags));
    let mut doubt = |key: &Key, detail: &str| {
        let entry = Entry::new(
            Code::ControllerAmbiguous,
            "ConfigMap",
            format!("{}/{}", key.0, key.1),
        );
        entries.push(entry.with(detail));
    };
    if let Some(key) = options.controller_config.clone().or_else(|| flagged(flags)) {
        let found = inventory.config_maps.get(&key);
        if inventory.clashing_config_maps.contains(&key) {
            doubt(&key, "two different ones were read");
        } else if found.is_none() {
            doubt(&key, "it is not among what was read");
        }
        return found;
    }
    let usual = |key: &&Key| USUAL.contains(&key.1.as_str());
    for key in inventory.clashing_config_maps.iter().filter(usual) {
        doubt(key, "two different ones were read");
    }
    let mut found = inventory.config_maps.keys().filter(usual);
    let first = found.next()?;
    if found.next().is_some() {
        doubt(first, "it is the first by name");
    }
    inventory.config_maps.get(first)
}

/// What could not be read and may be the controller's: what it says would have counted.
fn unread(inventory: &Inventory, options: &Options, flags: &Flags) -> Vec<Entry> {
    let chosen = options.controller_config.clone().or_else(|| flagged(flags));
    let may_be = |unread: &&Unread| match (&unread.key, &chosen) {
        (Some(key), Some(chosen)) if unread.kind == "ConfigMap" => key == chosen,
        (Some(key), None) if unread.kind == "ConfigMap" => USUAL.contains(&key.1.as_str()),
        _ => true,
    };
    let entry = |unread: &Unread| {
        let at = &unread.origin;
        let place = format!("{}: document {}, line {}", at.file, at.document, at.line);
        let what = if unread.kind.is_empty() {
            "it is not known which kind it has, so it may say how the controller serves"
        } else {
            "it may say how the controller serves"
        };
        Entry::new(Code::ControllerAmbiguous, place, unread.seems.clone()).with(format!(
            "{what}, and it cannot be read: {}. Correct it at that line",
            unread.detail
        ))
    };
    inventory.unread.iter().filter(may_be).map(entry).collect()
}

/// The ConfigMap that a flag names.
fn flagged(flags: &Flags) -> Option<Key> {
    let named = flags.get("configmap").filter(|value| !value.contains("$("));
    named.and_then(|value| key(value))
}

/// Names of the controller's ConfigMap where nothing names one.
const USUAL: &[&str] = &["ingress-nginx-controller", "nginx-configuration"];

/// The prefix of annotations. A slash at its end is the one behind it.
pub(super) fn prefix(options: &Options, flags: &Flags) -> String {
    let given = options
        .annotations_prefix
        .as_ref()
        .or_else(|| flags.get("annotations-prefix"));
    given
        .map_or(PREFIX, |prefix| prefix.trim_end_matches('/'))
        .to_owned()
}

/// The class that is converted.
pub(super) fn class(options: &Options, flags: &Flags) -> String {
    let given = options
        .ingress_class
        .as_ref()
        .or_else(|| flags.get("ingress-class"));
    given.map_or("nginx", String::as_str).to_owned()
}

/// The Secret with the default certificate.
pub(super) fn certificate(options: &Options, flags: &Flags) -> Option<Key> {
    let flagged = || {
        flags
            .get("default-ssl-certificate")
            .filter(|name| !name.contains("$("))
    };
    options.default_certificate.clone().or_else(|| key(flagged()?))
}

/// The name by which classes say that they are a controller's.
fn named(flags: &Flags) -> &str {
    flags
        .get("controller-class")
        .map_or("k8s.io/ingress-nginx", String::as_str)
}

/// The names of classes that are the controllers', and the values of the legacy annotation that are. What the operator names
/// is alone; where several controllers run and none is named, each of them serves its own: nothing of any is taken for
/// somebody else's.
pub(super) fn classes(
    inventory: &Inventory,
    options: &Options,
    flags: &Flags,
) -> (BTreeSet<String>, BTreeSet<String>) {
    if options.ingress_class.is_some() {
        let one = BTreeSet::from([class(options, flags)]);
        return (one.clone(), one);
    }
    let (mut names, mut legacy) = (BTreeSet::new(), BTreeSet::new());
    let parse = |flags: &Vec<String>| -> Flags { flags.iter().map(|flag| parsed(flag)).collect() };
    // What was typed beside the controllers is about the one that was read, and alone where none was.
    let several = inventory.controllers.len() > 1;
    let all = if several {
        inventory.controllers.iter().map(parse).collect()
    } else {
        vec![flags.clone()]
    };
    for flags in &all {
        let (controller, class) = (named(flags), class(options, flags));
        let mine = inventory.classes.iter().filter(|(_, named)| *named == controller);
        names.extend(mine.map(|(name, _)| name.clone()));
        // By its name alone, whatever controller the class names.
        let by_name = flags
            .get("ingress-class-by-name")
            .is_some_and(|value| value != "false");
        if by_name || !inventory.classes.contains_key(&class) {
            names.insert(class.clone());
        }
        legacy.insert(class);
    }
    if several
        && options
            .controller_flags
            .iter()
            .any(|flag| flag.contains("ingress-class"))
    {
        let typed = class(options, flags);
        names.insert(typed.clone());
        legacy.insert(typed);
    }
    (names, legacy)
}
