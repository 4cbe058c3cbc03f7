//! What happens in each story, and how it must end: as often as it is told, and whoever dies meanwhile.

use crate::promises::{Facts, INGRESSES, ROLLOUTS, canary};
use crate::world::{NS, World, component, rollout, virtual_service};
use gradual_rollout::rollout::reason::{Reason, State};
use serde_json::{Value, json};

/// When something happens.
type When = fn(&World) -> bool;
/// What happens; the facts are what everybody may know of it.
type Do = fn(&World, &mut Facts);

/// A story.
pub(crate) struct Tale {
    pub(crate) name: &'static str,
    /// The resource, before it is put into the cluster.
    pub(crate) rollout: fn() -> Value,
    /// What else is in the cluster.
    pub(crate) furnish: fn(&World),
    /// One after the other, each at its moment.
    pub(crate) acts: &'static [(&'static str, When, Do)],
    /// How it ends; asked once every act is over.
    pub(crate) ends: fn(&World) -> Result<(), String>,
    /// The latest end, in virtual seconds.
    pub(crate) deadline: u64,
}

/// Short steps, so that a story is short.
pub(crate) fn plan(components: &[Value]) -> Value {
    let mut object = rollout("demo", &[]);
    object["spec"]["components"] = json!(components);
    object["spec"]["allowJump"] = json!(true);
    object["spec"]["judge"] = json!({"interval": "10s", "settle": "10s"});
    object["spec"]["steps"] = json!([
        {"weight": "5%", "hold": "40s"}, {"weight": "25%", "hold": "40s"},
        {"weight": "50%", "hold": "40s"}, {"weight": "100%", "hold": "40s"}
    ]);
    object
}

/// A component whose requests go through two routes, the edge first.
fn edge_and_inside(name: &str) -> Value {
    let mut object = component(name);
    let inside = component(&format!("{name}-inside"))["routers"][0].clone();
    object["routers"].as_array_mut().unwrap().push(inside);
    object
}

fn routes(world: &World, names: &[&str]) {
    for name in names {
        world.store.put(virtual_service(name)).unwrap();
    }
}

fn at(world: &World, route: &str, percent: u64) -> bool {
    canary(&world.vs(route)) == percent * 10
}

fn is(world: &World, component: &str, state: State) -> Result<(), String> {
    let c = world.component(component);
    if c.state == state && c.lowering.is_none() && c.intent.is_none() {
        Ok(())
    } else {
        Err(format!(
            "{component} is {:?} ({}), not {state:?}: {}",
            c.state, c.reason, c.message
        ))
    }
}

fn stands(world: &World, route: &str, percent: u64) -> Result<(), String> {
    if at(world, route, percent) {
        Ok(())
    } else {
        Err(format!("{route} carries {} permille", canary(&world.vs(route))))
    }
}

/// Whether a component stands where it stands for so long that it would have gone on, if it might.
fn long(world: &World, component: &str) -> bool {
    let since = world.component(component).since;
    since.is_some_and(|at| world.clock.now().duration_since(at).as_secs() > 120)
}

/// Every command was answered and taken away.
fn answered(world: &World) -> Result<(), String> {
    let object = world.object();
    let left: Vec<&String> = object["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flat_map(|a| a.keys())
        .filter(|key| key.contains("/command."))
        .collect();
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("still asked: {left:?}"))
    }
}

fn say(world: &World, verb: &str, rest: Value) {
    let mut wish = json!({"components": ["shop"], "who": "ada", "reason": "the story"});
    for (key, value) in rest.as_object().unwrap() {
        wish[key] = value.clone();
    }
    world.say(verb, wish);
}

/// Somebody else writes the weight of a route.
fn edit(world: &World, route: &str, percent: u64) {
    let mut vs = world.vs(route);
    let pair = &mut vs["spec"]["http"][0]["route"];
    pair[0]["weight"] = json!(100 - percent);
    pair[1]["weight"] = json!(percent);
    world.store.put(vs).unwrap();
}

pub(crate) const TALES: &[Tale] = &[
    Tale {
        name: "a healthy component walks its plan through two routers",
        rollout: || plan(&[edge_and_inside("shop")]),
        furnish: |w| routes(w, &["shop", "shop-inside"]),
        acts: &[],
        ends: |w| {
            is(w, "shop", State::Completed)?;
            stands(w, "shop-inside", 100)?;
            stands(w, "shop", 100)
        },
        deadline: 2400,
    },
    Tale {
        name: "a failing canary goes back through two routers and its neighbour goes on",
        rollout: || plan(&[edge_and_inside("shop"), component("cart")]),
        furnish: |w| routes(w, &["shop", "shop-inside", "cart"]),
        acts: &[(
            "the canary fails at 25%",
            |w| at(w, "shop", 25),
            |w, facts| {
                w.traffic.fail("shop");
                facts.failing.insert("shop".into(), w.clock.now());
            },
        )],
        ends: |w| {
            is(w, "shop", State::RolledBack)?;
            stands(w, "shop", 0)?;
            stands(w, "shop-inside", 0)?;
            is(w, "cart", State::Completed)?;
            stands(w, "cart", 100)
        },
        deadline: 2400,
    },
    Tale {
        name: "a person pauses, goes on, promotes, rolls back and tries again",
        rollout: || plan(&[component("shop")]),
        furnish: |w| routes(w, &["shop"]),
        acts: &[
            (
                "pause at 5%",
                |w| at(w, "shop", 5),
                |w, _| say(w, "pause", json!({})),
            ),
            (
                "resume",
                |w| w.component("shop").paused_by.is_some() && long(w, "shop"),
                |w, facts| {
                    facts.promoted.insert("shop".into());
                    say(w, "resume", json!({}));
                },
            ),
            (
                "promote",
                |w| at(w, "shop", 25),
                |w, _| say(w, "promote", json!({})),
            ),
            (
                "back at 50%",
                |w| at(w, "shop", 50),
                |w, facts| {
                    facts.may_fall.insert("shop".into());
                    facts.promoted.clear();
                    say(w, "rollback", json!({}));
                },
            ),
            (
                "again",
                |w| at(w, "shop", 0) && w.component("shop").state == State::RolledBack,
                |w, _| say(w, "retry", json!({})),
            ),
            (
                "on its way again",
                |w| at(w, "shop", 5) && w.component("shop").state == State::Walking,
                |_, facts| {
                    facts.may_fall.remove("shop");
                },
            ),
            (
                "back, and to more than it has",
                |w| at(w, "shop", 25) && w.component("shop").intent.is_none(),
                |w, facts| {
                    facts.keeps.insert("shop".into(), 250);
                    say(w, "rollback", json!({"weight": "50%"}));
                },
            ),
            (
                "and from there again",
                |w| is(w, "shop", State::RolledBack).is_ok(),
                |w, _| say(w, "retry", json!({})),
            ),
        ],
        ends: |w| {
            answered(w)?;
            is(w, "shop", State::Completed)?;
            stands(w, "shop", 100)
        },
        deadline: 4800,
    },
    Tale {
        name: "somebody raises and somebody lowers the route",
        rollout: || plan(&[component("shop")]),
        furnish: |w| routes(w, &["shop"]),
        acts: &[
            (
                "raised at 5%",
                |w| at(w, "shop", 5) && w.component("shop").weight.written.permille() == 50,
                |w, facts| {
                    facts.may_fall.insert("shop".into());
                    edit(w, "shop", 60);
                },
            ),
            (
                "lowered at 25%",
                |w| at(w, "shop", 25) && w.component("shop").weight.written.permille() == 250,
                |w, facts| {
                    facts.asked.insert(250);
                    facts.lowered.insert("shop".into());
                    edit(w, "shop", 5);
                },
            ),
            (
                "and taken up again",
                |w| w.component("shop").state == State::Drifted && long(w, "shop"),
                |w, facts| {
                    facts.lowered.remove("shop");
                    say(w, "resume", json!({}));
                },
            ),
        ],
        ends: |w| {
            answered(w)?;
            is(w, "shop", State::Completed)?;
            stands(w, "shop", 100)
        },
        deadline: 4800,
    },
    Tale {
        name: "it is dark, and later both arms fail",
        rollout: || {
            let mut object = plan(&[component("shop")]);
            object["spec"]["judge"]["blindAfter"] = json!("1m");
            // What was lost in the outage need not be outweighed first.
            object["spec"]["checks"] = json!([
                {"name": "errors", "promote": {"max": "20%"}, "rollback": {"max": "40%"}},
                {"name": "available", "promote": {"min": "50%"}, "rollback": "none"},
            ]);
            object
        },
        furnish: |w| routes(w, &["shop"]),
        acts: &[
            (
                "dark at 25%",
                |w| at(w, "shop", 25),
                |w, facts| {
                    w.traffic.darken(true);
                    facts.dark = Some(w.clock.now());
                },
            ),
            (
                "light again",
                |w| w.component("shop").blind_told,
                |w, facts| {
                    w.traffic.darken(false);
                    facts.dark = None;
                },
            ),
            (
                "an outage at 50%",
                |w| at(w, "shop", 50),
                |w, facts| {
                    w.traffic.fail_both("shop");
                    facts.outage = Some(w.clock.now());
                },
            ),
            (
                "over",
                |w| w.component("shop").reason == Reason::SharedOutage && long(w, "shop"),
                |w, facts| {
                    w.traffic.heal("shop");
                    facts.outage = None;
                },
            ),
        ],
        ends: |w| {
            is(w, "shop", State::Completed)?;
            stands(w, "shop", 100)
        },
        deadline: 7200,
    },
    Tale {
        name: "one fails and the whole rollout goes back with it",
        rollout: || {
            let mut object = plan(&[component("shop"), component("cart"), edge_and_inside("desk")]);
            object["spec"]["rollback"] = json!({"scope": "rollout"});
            object
        },
        furnish: |w| routes(w, &["shop", "cart", "desk", "desk-inside"]),
        acts: &[(
            "the canary of one fails at 50%",
            |w| at(w, "shop", 50) && at(w, "cart", 50),
            |w, facts| {
                w.traffic.fail("cart");
                facts.failing.insert("cart".into(), w.clock.now());
                facts.may_fall.extend(["shop".into(), "desk".into()]);
            },
        )],
        ends: |w| {
            for name in ["shop", "cart", "desk"] {
                is(w, name, State::RolledBack)?;
                stands(w, name, 0)?;
            }
            stands(w, "desk-inside", 0)
        },
        deadline: 2400,
    },
    Tale {
        name: "the resource is deleted and restores",
        rollout: || {
            let mut object = plan(&[edge_and_inside("shop")]);
            object["spec"]["onDelete"] = json!("restore");
            object
        },
        furnish: |w| routes(w, &["shop", "shop-inside"]),
        acts: &[(
            "deleted at 50%",
            |w| at(w, "shop", 50) && at(w, "shop-inside", 50),
            |w, facts| {
                facts.may_fall.insert("shop".into());
                w.store.delete(ROLLOUTS, NS, "demo").unwrap();
            },
        )],
        ends: |w| {
            if !w.object().is_null() {
                return Err("the resource is still there".into());
            }
            for name in ["shop", "shop-inside"] {
                stands(w, name, 0)?;
                let annotations = w.vs(name)["metadata"]["annotations"].clone();
                let marks: Vec<String> = annotations
                    .as_object()
                    .into_iter()
                    .flat_map(|a| a.keys().cloned())
                    .filter(|k| k.starts_with("rollout.sealos.io/"))
                    .collect();
                if !marks.is_empty() {
                    return Err(format!("{name} still carries {marks:?}"));
                }
            }
            Ok(())
        },
        deadline: 2400,
    },
    Tale {
        name: "a canary Ingress is made, raised, and deleted when it fails",
        rollout: nginx,
        furnish: |w| {
            w.store.namespace("istio-system");
            for object in nginx_objects() {
                w.store.put(object).unwrap();
            }
        },
        acts: &[(
            "the canary fails at 25%",
            |w| split(w) == 250,
            |w, facts| {
                w.traffic.fail("shop");
                facts.failing.insert("shop".into(), w.clock.now());
            },
        )],
        ends: |w| {
            is(w, "shop", State::RolledBack)?;
            let left: Vec<_> = w
                .store
                .list(INGRESSES)
                .into_iter()
                .filter(|i| i["metadata"]["labels"]["rollout.sealos.io/component"] == "shop")
                .collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("still there: {left:?}"))
            }
        },
        deadline: 2400,
    },
    Tale {
        name: "one is taken out of the spec with its traffic, and goes back when it fails",
        rollout: || plan(&[component("shop"), component("cart")]),
        furnish: |w| routes(w, &["shop", "cart"]),
        acts: &[
            (
                "taken out at 25%",
                |w| at(w, "shop", 25) && w.component("shop").weight.written.permille() == 250,
                |w, facts| {
                    let mut object = w.object();
                    object["spec"]["components"] = json!([component("cart")]);
                    w.store.put(object).unwrap();
                    facts.gone.insert("shop".into());
                },
            ),
            (
                "its canary fails",
                |w| w.component("shop").state == State::Orphaned && at(w, "cart", 100),
                |w, facts| {
                    w.traffic.fail("shop");
                    facts.failing.insert("shop".into(), w.clock.now());
                },
            ),
        ],
        ends: |w| {
            is(w, "cart", State::Completed)?;
            stands(w, "cart", 100)?;
            stands(w, "shop", 0)
        },
        deadline: 2400,
    },
    Tale {
        name: "a controller is told by its ConfigMap and restarted, and goes back when the canary fails",
        rollout: || {
            let mut shop = component("shop");
            let switch =
                json!({"deployment": "shop-controller", "configMap": "shop-config", "restart": true});
            let routers = shop["routers"].as_array_mut().unwrap();
            routers.push(json!({"controllerSwitch": switch}));
            plan(&[shop])
        },
        furnish: |w| {
            routes(w, &["shop"]);
            for object in controller() {
                w.store.put(object).unwrap();
            }
        },
        acts: &[(
            "the canary fails at 25%",
            |w| at(w, "shop", 25),
            |w, facts| {
                w.traffic.fail("shop");
                facts.failing.insert("shop".into(), w.clock.now());
            },
        )],
        ends: |w| {
            is(w, "shop", State::RolledBack)?;
            stands(w, "shop", 0)?;
            told(w, "0")
        },
        deadline: 2400,
    },
];

/// A controller's `ConfigMap`, and the Deployment of which it is restarted.
fn controller() -> [Value; 2] {
    let metadata = |name: &str| json!({"name": name, "namespace": NS});
    let pods = json!({"metadata": {"labels": {"app": "shop"}},
        "spec": {"containers": [{"name": "controller", "image": "shop:1"}]}});
    [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("shop-config"),
            "data": {"networking_mode": "ingress", "istio_percentage": "0"}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("shop-controller"),
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop"}}, "template": pods}}),
    ]
}

/// What the map says, and what the pods were started for, in percent.
fn told(world: &World, percent: &str) -> Result<(), String> {
    let get = |resource, name| world.store.get(resource, NS, name).unwrap_or_default();
    let map = get("configmaps", "shop-config")["data"]["istio_percentage"].clone();
    let template = get("deployments.apps", "shop-controller")["spec"]["template"].clone();
    let pods = template["metadata"]["annotations"]["rollout.sealos.io/restarted-for"].clone();
    if map == percent && pods == format!("{percent}%") {
        Ok(())
    } else {
        Err(format!(
            "the map says {map}, and the pods were started for {pods}"
        ))
    }
}

fn split(world: &World) -> u64 {
    let canaries = world.store.list(INGRESSES);
    let weights = canaries.iter().filter_map(|i| {
        let key = "nginx.ingress.kubernetes.io/canary-weight";
        i["metadata"]["annotations"][key].as_str()?.parse::<u64>().ok()
    });
    weights.max().unwrap_or_default()
}

fn nginx() -> Value {
    let mut shop = component("shop");
    shop["routers"] = json!([{"ingressNginx": {
        "ingresses": {"matchLabels": {"app": "terminal"}},
        "gateway": {"namespace": "istio-system", "service": "istio-ingressgateway", "port": 8081, "name": "istio-system/split"},
    }}]);
    let arm = |canary: &str| json!({"preset": "ingress-nginx", "labels": {"ingress": "terminal", "canary": canary}});
    shop["arms"] = json!({"canary": arm("~.+"), "control": arm("")});
    plan(&[shop])
}

fn nginx_objects() -> [Value; 3] {
    let backend = json!({"service": {"name": "one", "port": {"number": 80}}});
    [
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"name": "split", "port": 8081, "targetPort": 8081}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "one", "namespace": NS, "labels": {"app": "terminal"}},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": "one.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "one", "namespace": NS},
            "spec": {"hosts": ["one.example.com"], "gateways": ["istio-system/split"],
                "http": [{"route": [{"destination": {"host": "terminal"}}]}]}}),
    ]
}
