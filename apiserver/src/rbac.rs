//! Who asks, and whether they may: bearer tokens, and the Roles and bindings in the store, as kube-apiserver with
//! `--authorization-mode=RBAC` reads them. Off until [`Store::enforce_rbac`]: then everything is allowed to everybody.
//!
//! Left out: the built-in roles (what `system:discovery` and `system:basic-user` grant is granted here to everybody who
//! is known; `system:masters` may everything), aggregated `ClusterRoles`, and the check that nobody grants more than they
//! have.

use super::failure::Failure;
use super::json::text;
use super::store::Store;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// The group of RBAC's own resources.
pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

/// Whoever is in it may do everything.
const MASTERS: &str = "system:masters";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
}

impl Person {
    /// Reads `username` and `groups` of a token's owner.
    fn of_token(user: &Value) -> Self {
        Self {
            name: text(user, "/username").to_owned(),
            groups: strings(user, "groups").map(str::to_owned).collect(),
        }
    }

    /// Reads `user` and `groups` of a `SubjectAccessReview`.
    fn of_review(spec: &Value) -> Self {
        Self {
            name: text(spec, "/user").to_owned(),
            groups: strings(spec, "groups").map(str::to_owned).collect(),
        }
    }
}

/// What is asked for, in RBAC's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) verb: String,
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Wanted {
    /// What a request needs; `rest` is its path behind group and version. Read from the path alone: whether there is
    /// such a resource is told only to whoever may know.
    pub(super) fn of(method: &Method, group: &str, rest: &[&str], watch: bool, selector: &str) -> Self {
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..]
                if !(rest.is_empty() || matches!(rest, ["status" | "finalize"])) =>
            {
                (*namespace, rest)
            }
            // The namespace of a Namespace is itself.
            ["namespaces", namespace, ..] => (*namespace, rest),
            rest => ("", rest),
        };
        let mut steps = rest.iter().copied();
        let (resource, name, subresource) = (
            steps.next().unwrap_or_default(),
            steps.next().unwrap_or_default(),
            steps.next().unwrap_or_default(),
        );
        let verb = match (method, name.is_empty()) {
            (&Method::GET, true) if watch => "watch",
            (&Method::GET, true) => "list",
            (&Method::GET, false) => "get",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, true) => "deletecollection",
            (&Method::DELETE, false) => "delete",
            _ => "create",
        };
        // A list or watch of one name is a request for that name.
        let name = match verb {
            "list" | "watch" => exact_name(selector).unwrap_or_default(),
            _ => name,
        };
        Self {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Reads the `resourceAttributes` of a review; `None` when it asks about a URL instead.
    fn of_review(spec: &Value) -> Option<Self> {
        let asked = spec.get("resourceAttributes")?;
        let field = |name: &str| {
            asked
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Some(Self {
            verb: field("verb"),
            group: field("group"),
            resource: field("resource"),
            subresource: field("subresource"),
            namespace: field("namespace"),
            name: field("name"),
        })
    }

    /// `plural`, or `plural/subresource`.
    fn combined(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// What everybody who is known may ask: about themselves.
    fn is_about_oneself(&self) -> bool {
        self.verb == "create"
            && matches!(
                (self.group.as_str(), self.resource.as_str()),
                (
                    "authorization.k8s.io",
                    "selfsubjectaccessreviews" | "selfsubjectrulesreviews"
                ) | ("authentication.k8s.io", "selfsubjectreviews")
            )
    }

    /// The refusal, in the words of kube-apiserver.
    fn refused(&self, person: &Person) -> Failure {
        let dot = if self.group.is_empty() { "" } else { "." };
        let what = format!("{}{dot}{}", self.resource, self.group);
        let subject = if self.name.is_empty() {
            what
        } else {
            format!("{what} \"{}\"", self.name)
        };
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", self.namespace)
        };
        let mut failure = Failure::new(
            403,
            "Forbidden",
            format!(
                "{subject} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
                person.name,
                self.verb,
                self.combined(),
                self.group
            ),
        );
        failure.about = vec![
            ("name", self.name.clone()),
            ("group", self.group.clone()),
            ("kind", self.resource.clone()),
        ];
        failure
    }
}

/// The name of `metadata.name=NAME` in a field selector.
fn exact_name(selector: &str) -> Option<&str> {
    selector.split(',').find_map(|term| {
        let value = term.trim().strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value))
    })
}

fn strings<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    let list = value.get(field).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// Whether one rule of a role grants something.
fn grants(rule: &Value, wanted: &Wanted) -> bool {
    let has = |field: &str, value: &str| strings(rule, field).any(|s| s == "*" || s == value);
    let combined = wanted.combined();
    let any_sub = format!("*/{}", wanted.subresource);
    let resource = strings(rule, "resources")
        .any(|s| s == "*" || s == combined || !wanted.subresource.is_empty() && s == any_sub);
    let mut names = strings(rule, "resourceNames").peekable();
    // A request without a name (a create, a list of all) is never granted by name.
    let name = names.peek().is_none() || names.any(|s| s == wanted.name);
    has("verbs", &wanted.verb) && has("apiGroups", &wanted.group) && resource && name
}

/// Whether a binding of namespace `home` (empty for a `ClusterRoleBinding`) is about somebody.
fn binds(binding: &Value, home: &str, person: &Person) -> bool {
    let subjects = binding.get("subjects").and_then(Value::as_array);
    subjects.into_iter().flatten().any(|subject| {
        let name = text(subject, "/name");
        match text(subject, "/kind") {
            "User" => name == person.name,
            "Group" => person.groups.iter().any(|group| group == name),
            "ServiceAccount" => {
                let namespace = match text(subject, "/namespace") {
                    "" => home,
                    given => given,
                };
                person.name == account_name(namespace, name)
            }
            _ => false,
        }
    })
}

fn account_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Whether the roles that are bound to somebody grant something.
fn allows(store: &Store, person: &Person, wanted: &Wanted) -> bool {
    if person.groups.iter().any(|group| group == MASTERS) || wanted.is_about_oneself() {
        return true;
    }
    let role_of = |binding: &Value, home: &str| -> Option<Arc<Value>> {
        let name = text(binding, "/roleRef/name");
        match text(binding, "/roleRef/kind") {
            "ClusterRole" => store.get(&format!("clusterroles.{GROUP}"), "", name),
            "Role" if !home.is_empty() => store.get(&format!("roles.{GROUP}"), home, name),
            _ => None,
        }
    };
    let grants_by = |binding: &Value, home: &str| {
        binds(binding, home, person)
            && role_of(binding, home).is_some_and(|role| {
                let rules = role.get("rules").and_then(Value::as_array);
                rules.into_iter().flatten().any(|rule| grants(rule, wanted))
            })
    };
    let everywhere = store.list(&format!("clusterrolebindings.{GROUP}"));
    if everywhere.iter().any(|binding| grants_by(binding, "")) {
        return true;
    }
    let here = &wanted.namespace;
    !here.is_empty()
        && store
            .list(&format!("rolebindings.{GROUP}"))
            .iter()
            .any(|binding| text(binding, "/metadata/namespace") == here && grants_by(binding, here))
}

/// Who sends a request; `None` where nobody is asked.
pub(super) fn who(store: &Store, authorization: &str) -> Result<Option<Person>, Failure> {
    if !store.asks_for_rights() {
        return Ok(None);
    }
    let token = authorization.strip_prefix("Bearer ").map(str::trim);
    let user = token.and_then(|token| store.user(token));
    let user = user.ok_or_else(Failure::unauthorized)?;
    Ok(Some(Person::of_token(&user)))
}

/// Refuses what is not granted. Nobody is asked where nobody is known.
pub(super) fn demand(store: &Store, person: Option<&Person>, wanted: &Wanted) -> Result<(), Failure> {
    match person {
        Some(person) if !allows(store, person, wanted) => Err(wanted.refused(person)),
        Some(_) | None => Ok(()),
    }
}

/// The answer to an access review of `asker`: about themselves where the `spec` names nobody.
pub(super) fn reviewed(store: &Store, asker: Option<&Person>, spec: &Value) -> bool {
    let Some(asker) = asker else { return true };
    let Some(wanted) = Wanted::of_review(spec) else {
        return asker.groups.iter().any(|group| group == MASTERS);
    };
    if text(spec, "/user").is_empty() && spec.get("groups").is_none() {
        return allows(store, asker, &wanted);
    }
    allows(store, &Person::of_review(spec), &wanted)
}

/// The answer to a `TokenRequest`: a token of the service account.
pub(super) fn issue(
    store: &Store,
    namespace: &str,
    name: &str,
    mut request: Value,
) -> Result<Value, Failure> {
    let account = store
        .get("serviceaccounts", namespace, name)
        .ok_or_else(|| Failure::new(404, "NotFound", format!("serviceaccounts \"{name}\" not found")))?;
    let token = format!("{}-{:016x}", text(&account, "/metadata/uid"), store.lock().id());
    let of_namespace = format!("system:serviceaccounts:{namespace}");
    let groups = [
        "system:serviceaccounts",
        of_namespace.as_str(),
        "system:authenticated",
    ];
    store.add_token(&token, &account_name(namespace, name), &groups);
    super::json::set(&mut request, "status", Some(json!({"token": token})));
    Ok(request)
}

impl Store {
    /// Asks every request for rights from now on: a bearer token says who it is (`admin` is the token of one who may do
    /// everything; service accounts get theirs by `TokenRequest`), and the Roles and bindings in the store say what that
    /// one may do. Reviews are answered from the same, unless [`Store::set_access`] decides them.
    pub fn enforce_rbac(&self, admin: &str) {
        self.add_token(admin, "admin", &[MASTERS, "system:authenticated"]);
        self.ask_for_rights();
    }
}
