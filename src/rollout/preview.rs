//! What reaches the canary beside its weight, because it was asked for: requests of testers, by a header or a cookie,
//! and copies of requests (a mirror).

use super::router_spec::{HttpKind, Router};
use super::spec::Component;
use super::weight::Weight;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Headers that one component's testers may be told by.
pub const HEADERS_MAX: usize = 8;
const VALUE_MAX: usize = 256;

/// Requests that go to the canary whatever its weight: those with any of these headers, or with this cookie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Testers {
    /// Headers with their exact values; one of them is enough. Names in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "headers_schema")]
    pub headers: Option<BTreeMap<String, String>>,
    /// A cookie with its exact value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
}

fn headers_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": HEADERS_MAX,
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": VALUE_MAX}
    })
}

/// A cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cookie {
    /// Its name.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9._~-]+$"))]
    pub name: String,
    /// Its value.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9._~-]+$"))]
    pub value: String,
}

/// All that is asked for beside the weight. Displays as people read it; what is asked alike displays alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preview {
    /// Headers with their exact values; one of them is enough.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
    /// The share of the pair's requests that is copied to the canary; its answers to copies are thrown away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Weight>,
}

/// A change of the routes for testers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteEdit {
    /// Add or remove.
    pub action: EditAction,
    /// A header. Neither header nor cookie, to remove: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// A cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Its name, in lower case.
    pub name: String,
    /// Its exact value.
    pub value: String,
}

/// What is done with a route for testers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EditAction {
    /// It is added; one that is there gets the new value.
    Add,
    /// It is taken away.
    Remove,
}

impl Router {
    /// What this router's part of the spec asks for beside the weight; `None` where it can do no such thing.
    pub fn preview(&self) -> Option<Preview> {
        match self {
            Self::Istio(istio) => {
                let http = |kind: Option<HttpKind>| kind.unwrap_or_default() == HttpKind::Http;
                istio.virtual_services.iter().any(|v| http(v.kind)).then(|| {
                    let testers = istio.testers.clone().unwrap_or_default();
                    Preview {
                        headers: testers.headers.unwrap_or_default(),
                        cookie: testers.cookie,
                        mirror: istio.mirror,
                    }
                })
            }
            Self::GatewayApi(_)
            | Self::ControllerSwitch(_)
            | Self::IngressNginx(_)
            | Self::Hook(_)
            | Self::Manual(_) => None,
        }
    }

    /// The same without what does not make it another router: testers and mirror come and go during a rollout.
    #[must_use]
    pub fn without_preview(&self) -> Self {
        match self {
            Self::Istio(istio) => {
                let mut istio = istio.clone();
                istio.testers = None;
                istio.mirror = None;
                Self::Istio(istio)
            }
            Self::GatewayApi(_)
            | Self::ControllerSwitch(_)
            | Self::IngressNginx(_)
            | Self::Hook(_)
            | Self::Manual(_) => self.clone(),
        }
    }
}

/// What a component's spec asks for beside the weight, by the first of its routers that can; `None`: none can.
pub fn of(component: &Component) -> Option<Preview> {
    component.routers.iter().find_map(Router::preview)
}

impl Preview {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anybody is a tester.
    pub fn has_testers(&self) -> bool {
        !self.headers.is_empty() || self.cookie.is_some()
    }

    /// What is wrong with it, and what to write instead.
    pub fn check(&self) -> Result<(), String> {
        if self.headers.len() > HEADERS_MAX {
            return Err(format!(
                "{} headers for testers are too many: {HEADERS_MAX} at most",
                self.headers.len()
            ));
        }
        for (name, value) in &self.headers {
            let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
            if name.is_empty() || name.len() > 64 || !name.bytes().all(sound) {
                return Err(format!(
                    "{name:?} is no name for a testers' header: write 1 to 64 lower-case letters, digits, - and _"
                ));
            }
            if name == "cookie" {
                return Err("a cookie is no header for testers: name it as `cookie`".to_owned());
            }
            if value.is_empty() || value.len() > VALUE_MAX || value.chars().any(char::is_control) {
                return Err(format!(
                    "the testers' header {name} needs a value of 1 to {VALUE_MAX} bytes without control characters"
                ));
            }
        }
        if let Some(cookie) = &self.cookie {
            let sound = |text: &str, max: usize| {
                (1..=max).contains(&text.len())
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
            };
            if !sound(&cookie.name, 64) || !sound(&cookie.value, VALUE_MAX) {
                return Err(format!(
                    "the testers' cookie {}={} needs a name and a value of letters, digits and . _ ~ -",
                    cookie.name, cookie.value
                ));
            }
        }
        if self.mirror.is_some_and(Weight::is_zero) {
            return Err("a mirror of 0% is none: leave it out, or say `mirror off`".to_owned());
        }
        Ok(())
    }

    /// The same with a route for testers more, or fewer.
    pub fn edited(&self, edit: &RouteEdit) -> Result<Self, String> {
        let mut new = self.clone();
        match edit.action {
            EditAction::Add => {
                if edit.header.is_none() && edit.cookie.is_none() {
                    return Err("name the testers' header or cookie".to_owned());
                }
                if let Some(header) = &edit.header {
                    new.headers.insert(header.name.clone(), header.value.clone());
                }
                new.cookie = edit.cookie.clone().or(new.cookie);
                new.check()?;
            }
            EditAction::Remove => {
                let all = edit.header.is_none() && edit.cookie.is_none();
                let header = edit.header.as_ref();
                let same = |h: &Header| self.headers.get(&h.name) == Some(&h.value);
                if header.is_some_and(|h| !same(h)) || edit.cookie.is_some() && self.cookie != edit.cookie {
                    return Err(format!("there is no such route for testers: there is {self}"));
                }
                new.headers
                    .retain(|name, _| !all && header.is_none_or(|h| h.name != *name));
                new.cookie = new.cookie.filter(|_| !all && edit.cookie.is_none());
            }
        }
        Ok(new)
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = self.headers.iter().map(|(n, v)| format!("header {n}={v}"));
        let cookie = self
            .cookie
            .iter()
            .map(|c| format!("cookie {}={}", c.name, c.value));
        let mirror = self.mirror.iter().map(|share| format!("mirror {share}"));
        let all: Vec<String> = headers.chain(cookie).chain(mirror).collect();
        if all.is_empty() {
            f.write_str("nothing")
        } else {
            f.write_str(&all.join(", "))
        }
    }
}

impl std::str::FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = name_and_value(text)?;
        let header = Self {
            name: name.to_ascii_lowercase(),
            value,
        };
        let alone = Preview {
            headers: [(header.name.clone(), header.value.clone())].into(),
            ..Preview::default()
        };
        alone.check().map(|()| header)
    }
}

impl std::str::FromStr for Cookie {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = name_and_value(text)?;
        let cookie = Self { name, value };
        let alone = Preview {
            cookie: Some(cookie.clone()),
            ..Preview::default()
        };
        alone.check().map(|()| cookie)
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "write NAME=VALUE, like canary=true".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(action: EditAction, header: Option<&str>, cookie: Option<&str>) -> RouteEdit {
        RouteEdit {
            action,
            header: header.map(|h| h.parse().unwrap()),
            cookie: cookie.map(|c| c.parse().unwrap()),
        }
    }

    #[test]
    fn routes_for_testers_are_added_and_taken_away_one_by_one_or_all_at_once() {
        let mirror = Preview {
            mirror: Weight::from_percent(10),
            ..Preview::default()
        };
        let one = mirror
            .edited(&edit(EditAction::Add, Some("Canary=true"), None))
            .unwrap();
        let two = one
            .edited(&edit(EditAction::Add, Some("team=web"), Some("c=always")))
            .unwrap();
        assert_eq!(
            two.to_string(),
            "header canary=true, header team=web, cookie c=always, mirror 10%"
        );
        let less = two
            .edited(&edit(EditAction::Remove, Some("canary=true"), None))
            .unwrap();
        assert_eq!(less.to_string(), "header team=web, cookie c=always, mirror 10%");
        let none = less.edited(&edit(EditAction::Remove, None, None)).unwrap();
        assert_eq!(none, mirror, "the mirror is another matter");
        let error = one
            .edited(&edit(EditAction::Remove, Some("canary=false"), None))
            .unwrap_err();
        assert!(error.contains("there is header canary=true"), "{error}");
    }

    #[test]
    fn what_no_proxy_could_match_is_refused_with_the_remedy() {
        for (text, says) in [
            ("canary", "NAME=VALUE"),
            ("=x", "no name"),
            ("a b=x", "no name"),
            ("cookie=x", "name it as `cookie`"),
            ("canary=", "needs a value"),
        ] {
            let error = text.parse::<Header>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!("c=a;b".parse::<Cookie>().is_err());
        let many = Preview {
            headers: (0..9).map(|n| (format!("h{n}"), "x".to_owned())).collect(),
            ..Preview::default()
        };
        assert!(many.check().unwrap_err().contains("too many"));
        let nothing = Preview {
            mirror: Some(Weight::ZERO),
            ..Preview::default()
        };
        assert!(nothing.check().unwrap_err().contains("leave it out"));
    }
}
