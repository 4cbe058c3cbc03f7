//! HTTP: paths, queries, bodies and headers in; objects, tables and refusals out.

use super::ask::{Ask, Sub};
use super::body::{self, plain, refuse, reply};
use super::call::{Call, query};
use super::delete;
use super::discovery::{self, AGGREGATED};
use super::failure::Failure;
use super::fault::{Action, Seen};
use super::patch::PatchKind;
use super::rbac::{self, Person, Wanted};
use super::resource::Registry;
use super::selector::Selector;
use super::store::Store;
use super::view::{Listed, View};
use super::watch::{self, Terms};
use super::write::{self, Outcome};
use super::{openapi, review, scale, wire};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WARNING};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The largest body, as in a real API server.
const LARGEST: usize = 3 * 1024 * 1024;

/// The API over a store.
pub(super) fn router(store: Store) -> Router {
    Router::new().fallback(handle).with_state(store)
}

async fn handle(State(store): State<Store>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, LARGEST).await {
        Ok(body) => body,
        Err(error) => {
            let message = format!("Request entity too large: limit is {LARGEST}: {error}");
            return refuse(&Failure::new(413, "RequestEntityTooLarge", message));
        }
    };
    let call = Call {
        method: parts.method,
        query: query(&parts.uri),
        uri: parts.uri,
        headers: parts.headers,
        body,
    };
    call.answer(&store)
        .await
        .unwrap_or_else(|failure| refuse(&failure))
}

impl Call {
    async fn answer(&self, store: &Store) -> Result<Response, Failure> {
        let path = self.uri.path().trim_matches('/').to_owned();
        let steps: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let registry = store.registry();
        let person = rbac::who(store, self.header(AUTHORIZATION))?;
        if let Some(told) = self.about(&registry, &steps) {
            return told;
        }
        let (group, version, rest) = match steps.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Failure::no_such_resource()),
        };
        let wanted = Wanted::of(
            &self.method,
            group,
            rest,
            self.truth("watch"),
            self.param("fieldSelector"),
        );
        rbac::demand(store, person.as_ref(), &wanted)?;
        if let Some(answer) =
            review::answer(store, person.as_ref(), group, rest, &self.method, || self.json())
        {
            return answer.map(|value| reply(StatusCode::CREATED, &value));
        }
        let (namespace, rest) = match rest {
            // A namespace is also an object.
            ["namespaces", namespace, rest @ ..]
                if !(rest.is_empty() || group.is_empty() && matches!(rest, ["status" | "finalize"])) =>
            {
                (*namespace, rest)
            }
            rest => ("", rest),
        };
        let (plural, name, sub) = match rest {
            [plural] => (*plural, "", Sub::None),
            [plural, name] => (*plural, *name, Sub::None),
            [plural, name, "status"] => (*plural, *name, Sub::Status),
            [plural, name, "scale"] => (*plural, *name, Sub::Scale),
            ["serviceaccounts", name, "token"] if store.asks_for_rights() && self.method == Method::POST => {
                let issued = rbac::issue(store, namespace, name, self.json()?)?;
                return Ok(reply(StatusCode::CREATED, &issued));
            }
            _ => return Err(Failure::no_such_resource()),
        };
        let resource = registry
            .find(group, version, plural)
            .ok_or_else(Failure::no_such_resource)?;
        let served = match sub {
            Sub::None => resource.namespaced || namespace.is_empty(),
            Sub::Status => resource.status,
            Sub::Scale => resource.scale,
        };
        if !served {
            return Err(Failure::no_such_resource());
        }
        let ask = self.ask(resource, namespace, name, sub)?;
        self.demand_create(store, person.as_ref(), &ask, wanted)?;
        let action = store.faults().hit(Seen {
            verb: ask.verb,
            resource: &ask.resource.group_resource(),
            subresource: ask.sub.name(),
            namespace: &ask.namespace,
            name: &ask.name,
            manager: &ask.manager,
        });
        match action {
            Some(Action::Fail(failure)) => return Err(failure),
            Some(Action::Hang) => std::future::pending::<()>().await,
            Some(Action::Delay(time)) => tokio::time::sleep(time).await,
            Some(Action::FailAfter(failure)) => {
                self.serve(store, &ask)?;
                return Err(failure);
            }
            None => {}
        }
        self.serve(store, &ask)
    }

    /// An apply of what is absent makes it, and so does a PUT of some resources: that needs the right to.
    fn demand_create(
        &self,
        store: &Store,
        person: Option<&Person>,
        ask: &Ask,
        mut wanted: Wanted,
    ) -> Result<(), Failure> {
        let makes = match ask.verb {
            "patch" => self.header(CONTENT_TYPE).starts_with("application/apply-patch"),
            "update" => ask.resource.create_on_update,
            _ => false,
        };
        if makes
            && ask.sub == Sub::None
            && store
                .lock()
                .find(&ask.resource, &ask.namespace, &ask.name)
                .is_none()
        {
            "create".clone_into(&mut wanted.verb);
            return rbac::demand(store, person, &wanted);
        }
        Ok(())
    }

    /// Everything that is not about objects.
    fn about(&self, registry: &Registry, steps: &[&str]) -> Option<Result<Response, Failure>> {
        let aggregated = self.header(ACCEPT).split(',').map(str::trim).any(|a| {
            a.contains("as=APIGroupDiscoveryList") && a.contains("v=v2") && !a.contains("v=v2beta1")
        });
        let found = |value: Option<Value>| {
            value
                .map(|v| reply(StatusCode::OK, &v))
                .ok_or_else(Failure::no_such_resource)
        };
        let answer = match steps {
            [] => found(Some(
                json!({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}),
            )),
            ["healthz" | "readyz" | "livez", ..] => Ok(plain("ok")),
            ["version"] => found(Some(json!({
                "major": "1", "minor": "36", "gitVersion": "v1.36.2", "gitCommit": "", "gitTreeState": "clean",
                "buildDate": "2026-06-09T00:00:00Z", "goVersion": "", "compiler": "rustc",
                "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
            }))),
            [root @ ("api" | "apis")] if aggregated => {
                let value = discovery::aggregated(registry, *root == "api");
                let mut response = reply(StatusCode::OK, &value);
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
                response
                    .headers_mut()
                    .insert("Vary", HeaderValue::from_static("Accept"));
                Ok(response)
            }
            ["api"] => found(Some(
                json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
            )),
            ["apis"] => found(Some(discovery::groups(registry))),
            ["api", version] => found(discovery::resources(registry, "", version)),
            ["apis", group] => found(discovery::group(registry, group)),
            ["apis", group, version] => found(
                discovery::resources(registry, group, version).or_else(|| review::discovery(group, version)),
            ),
            ["openapi", "v3"] => found(Some(openapi::index(registry))),
            ["openapi", "v3", path @ ..] => found(openapi::document(registry, &path.join("/"))),
            _ => return None,
        };
        Some(answer)
    }

    fn serve(&self, store: &Store, ask: &Ask) -> Result<Response, Failure> {
        let resource = &*ask.resource;
        let view = View::accepted(self.header(ACCEPT), self.param("includeObject")).ok_or_else(|| {
            Failure::new(
                406,
                "NotAcceptable",
                "only the following media types are accepted: application/json",
            )
        })?;
        match ask.verb {
            "get" => {
                let found = store
                    .lock()
                    .find(resource, &ask.namespace, &ask.name)
                    .map(|s| s.value.clone());
                let stored = found.ok_or_else(|| Failure::not_found(resource, &ask.name))?;
                if ask.sub == Sub::Scale {
                    return Ok(reply(
                        StatusCode::OK,
                        &scale::of(&wire::outward(resource, &stored)),
                    ));
                }
                if view == View::Full {
                    return Ok(reply(StatusCode::OK, &*wire::outward(resource, &stored)));
                }
                Ok(reply(StatusCode::OK, &view.one(resource, &stored, store.now())))
            }
            "list" => self.list(store, ask, view),
            "watch" => self.watch(store, ask, view),
            "create" => Ok(Self::written(
                store,
                ask,
                view,
                &write::create(store, ask, self.json()?)?,
            )),
            "update" => Ok(Self::written(
                store,
                ask,
                view,
                &write::replace(store, ask, self.json()?)?,
            )),
            "patch" => {
                let media = self
                    .header(CONTENT_TYPE)
                    .split(';')
                    .next()
                    .unwrap_or_default()
                    .trim();
                let kind = PatchKind::of(media, resource)?;
                let body = if kind == PatchKind::Apply {
                    body::yaml(&self.body)?
                } else {
                    body::json(&self.body)?
                };
                Ok(Self::written(
                    store,
                    ask,
                    view,
                    &write::patch(store, ask, kind, &body)?,
                ))
            }
            "delete" => Ok(reply(
                StatusCode::OK,
                &*delete::one(store, ask, &self.options()?)?,
            )),
            _ => {
                let selector =
                    Selector::parse(resource, self.param("labelSelector"), self.param("fieldSelector"))?;
                Ok(reply(
                    StatusCode::OK,
                    &delete::many(store, ask, &selector, &self.options()?)?,
                ))
            }
        }
    }

    fn list(&self, store: &Store, ask: &Ask, view: View) -> Result<Response, Failure> {
        let resource = &*ask.resource;
        let selector = Selector::parse(resource, self.param("labelSelector"), self.param("fieldSelector"))?;
        let (found, version) = {
            let inner = store.lock();
            let found: Vec<Arc<Value>> = inner
                .objects
                .get(&resource.storage())
                .into_iter()
                .flatten()
                .filter(|((namespace, _), s)| {
                    (ask.namespace.is_empty() || *namespace == ask.namespace) && selector.matches(&s.value)
                })
                .map(|(_, s)| s.value.clone())
                .collect();
            (found, inner.version)
        };
        if view == View::Full {
            return Ok(reply(StatusCode::OK, &Listed::of(resource, &found, version)));
        }
        Ok(reply(
            StatusCode::OK,
            &view.list(resource, &found, version, store.now()),
        ))
    }

    fn watch(&self, store: &Store, ask: &Ask, view: View) -> Result<Response, Failure> {
        let resource = ask.resource.clone();
        let selector = Selector::parse(
            &resource,
            self.param("labelSelector"),
            self.param("fieldSelector"),
        )?;
        let after = match self.param("resourceVersion") {
            "" | "0" => None,
            given => Some(given.parse().map_err(|_| {
                Failure::bad_request(format!(
                    "resourceVersion: Invalid value: {given:?}: must be a number"
                ))
            })?),
        };
        let timeout = self
            .param("timeoutSeconds")
            .parse()
            .ok()
            .filter(|s| *s > 0)
            .map(Duration::from_secs);
        let terms = Terms {
            resource,
            namespace: ask.namespace.clone(),
            selector,
            after,
            bookmarks: self.truth("allowWatchBookmarks"),
            initial: self.truth("sendInitialEvents"),
            timeout,
            view,
        };
        let mut response = Response::new(watch::body(store, terms));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    fn written(store: &Store, ask: &Ask, view: View, outcome: &Outcome) -> Response {
        let code = if outcome.created {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        let mut response = if ask.sub == Sub::Scale {
            reply(code, &scale::of(&outcome.object))
        } else if view == View::Full {
            reply(code, &*outcome.object)
        } else {
            reply(code, &view.one(&ask.resource, &outcome.object, store.now()))
        };
        for text in &outcome.warnings {
            let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(WARNING, value);
            }
        }
        response
    }
}
