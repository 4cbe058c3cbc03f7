//! The routed objects of a component: those that it names, and those that its selections find.

use super::gateway_api::{Rules, object_kind};
use super::home::Home;
use super::hook::Called;
use super::istio::Routes;
use super::nginx::{self, Canary, Finding, Maker};
use super::object::{ClaimKey, ObjectKind, ObjectRef};
use super::stamp::stamp_key;
use super::stock::Stock;
use super::target::Target;
use super::way::Way;
use crate::rollout::router_spec::Router;
use crate::rollout::spec::Component;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What of an object that a selection has found is there already, and by whom it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Made {
    /// This component's canary stands there, and says so, or its alias does.
    Canary,
    /// A canary stands there that is nobody's: it was let go of, or says nothing of who made it.
    Kept,
    /// What this component may have made: a canary that does not say of which resource it is, or the alias that is left
    /// when a canary was taken away.
    Traces,
    /// Nothing of this component's.
    Nothing,
}

/// What a selection has found, whoever's it is: nobody else may write what is this component's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// The object.
    pub key: ClaimKey,
    /// What is there of this component's.
    pub made: Made,
}

/// The objects of a component, and what speaks against raising them.
#[derive(Debug, Default)]
pub struct Found<'a> {
    /// In the order of its routers, edge first.
    pub targets: Vec<Target<'a>>,
    /// What the selections found wrong, the gravest first.
    pub findings: Vec<Finding>,
    /// What the selections found, those objects included that are another's and no target.
    pub sought: Vec<Sought>,
    /// Canaries that say they are another resource's, and of which nobody says that it claims them, as sentences.
    pub unclaimed: Vec<String>,
}

impl Found<'_> {
    /// Why nothing of what the selections choose can be lowered: every canary there says that it is another resource's,
    /// and one of them nobody claims, so that nobody may be watching over it. `None` where one is the component's own.
    pub fn nothing_of_ours(&self) -> Option<String> {
        let own = self
            .targets
            .iter()
            .any(|target| target.object().kind == ObjectKind::Ingress);
        let said = self.unclaimed.first().filter(|_| !own)?;
        Some(format!("it was not put back: {said}"))
    }

    /// What keeps every weight above 0 from being written, in one sentence; `None` when nothing does.
    pub fn obstacle(&self) -> Option<String> {
        const SHOWN: usize = 5;
        let blocking: Vec<String> = self
            .findings
            .iter()
            .filter(|f| f.blocks())
            .map(ToString::to_string)
            .collect();
        let more = blocking.len().saturating_sub(SHOWN);
        let mut told = blocking.get(..SHOWN.min(blocking.len()))?.join(" | ");
        if more > 0 {
            told = format!("{told} | and {more} more: see `gradual-rollout routes check`");
        }
        (!told.is_empty()).then_some(told)
    }
}

/// The lists that the selections of a component look through; empty when it names every object itself.
pub fn needs(component: &Component, namespace: &str) -> BTreeSet<(ObjectKind, String)> {
    let mut needs = BTreeSet::new();
    for router in &component.routers {
        match router {
            Router::IngressNginx(spec) => needs.extend(nginx::needs(spec, namespace)),
            Router::Istio(_)
            | Router::GatewayApi(_)
            | Router::ControllerSwitch(_)
            | Router::Hook(_)
            | Router::Manual(_) => {}
        }
    }
    needs
}

/// The routed objects that a component itself names, in the order of its routers, edge first; a controller's ConfigMap
/// comes before its Deployment, whose restarting pods read it. `namespace` is the resource's own. What a selection
/// has to find first is not among them: see [`found`].
pub fn targets<'a>(component: &'a Component, namespace: &str) -> Vec<Target<'a>> {
    component
        .routers
        .iter()
        .enumerate()
        .flat_map(|(at, router)| named(component, (at, router), namespace))
        .collect()
}

/// All routed objects of a component: those that it names, and those that stand for what its selections find in the
/// stock ([`needs`]). `home` is the resource whose component it is.
pub fn found<'a>(component: &'a Component, home: &Home, stock: &Stock) -> Found<'a> {
    let namespace = home.namespace.as_str();
    let mut found = Found::default();
    let maker = Maker::new(&component.name, home);
    for (at, router) in component.routers.iter().enumerate() {
        found.targets.extend(named(component, (at, router), namespace));
        let Router::IngressNginx(spec) = router else {
            continue;
        };
        let selected = nginx::select(spec, &maker, namespace, stock);
        let canary = |split| {
            Way::Nginx(Canary {
                spec,
                maker: maker.clone(),
                split,
            })
        };
        for split in selected.splits {
            let object = split.object();
            found.targets.push(Target {
                object,
                key: stamp_key(&component.name),
                router: at,
                way: canary(Some(Arc::new(split))),
            });
        }
        for object in selected.strays {
            found.targets.push(Target {
                object,
                key: stamp_key(&component.name),
                router: at,
                way: canary(None),
            });
        }
        found.findings.extend(selected.findings);
        found.unclaimed.extend(selected.unclaimed);
        found.sought.extend(selected.sought);
    }
    found
}

fn named<'a>(
    component: &'a Component,
    (at, router): (usize, &'a Router),
    namespace: &str,
) -> Vec<Target<'a>> {
    let target = |kind, namespace: &str, name: &str, way| Target {
        object: ObjectRef {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        },
        key: stamp_key(&component.name),
        router: at,
        way,
    };
    let mut targets = Vec::new();
    match router {
        Router::Istio(pair) => targets.extend(pair.virtual_services.iter().map(|routes| {
            target(
                ObjectKind::VirtualService,
                routes.namespace.as_deref().unwrap_or(namespace),
                &routes.name,
                Way::Istio(Routes {
                    pair,
                    service: routes,
                    component: &component.name,
                    lowering: None,
                }),
            )
        })),
        Router::GatewayApi(route) => targets.push(target(
            object_kind(route.kind),
            route.namespace.as_deref().unwrap_or(namespace),
            &route.name,
            Way::GatewayApi(Rules {
                route,
                component: &component.name,
                lowering: None,
            }),
        )),
        Router::ControllerSwitch(switch) => {
            let way = if switch.restart == Some(true) && switch.config_map.is_some() {
                Way::Restart
            } else {
                Way::Deployment(switch)
            };
            targets.extend(
                switch
                    .config_map
                    .iter()
                    .map(|name| target(ObjectKind::ConfigMap, namespace, name, Way::ConfigMap(switch))),
            );
            targets.extend(
                switch
                    .deployment
                    .iter()
                    .map(|name| target(ObjectKind::Deployment, namespace, name, way.clone())),
            );
        }
        Router::Hook(hook) => {
            let called = Called {
                hook,
                component: &component.name,
            };
            targets.push(target(
                ObjectKind::Hook,
                namespace,
                &called.name(),
                Way::Hook(called),
            ));
        }
        Router::Manual(manual) => targets.push(target(
            ObjectKind::Manual,
            namespace,
            &component.name,
            Way::Manual(manual),
        )),
        Router::IngressNginx(_) => {}
    }
    targets
}
