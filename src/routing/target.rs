//! One routed object of one component: what it says, and the patch that makes it say something else.

use super::backend;
use super::controller_switch;
use super::error::RoutingError;
use super::gateway_api::Rules;
use super::hook::{self, Called};
use super::manual;
use super::nginx::{self, Canary};
use super::object::{ClaimKey, ObjectRef, Part};
use super::parents::{self, Parents};
use super::patch::{Draft, ObjectPatch};
use super::seen::{self, Reading, Seen, Share, text};
use super::service::service_of;
use super::stamp::Stamp;
use super::way::Way;
use super::{switch_config_map, switch_deployment, switch_restart};
use crate::rollout::observation::Wanted;
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use serde_json::Value;

/// Why a weight is written, as far as the written object can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// By plan, by command or by an automatic rollback.
    Normal,
    /// An emergency: a controller is told so, and when. Keep the time the same in retries, a new one restarts pods.
    Emergency {
        /// When it was declared.
        at: Timestamp,
    },
}

/// One routed object of one router of a component.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    pub(super) object: ObjectRef,
    pub(super) key: String,
    /// Which of the component's routers it belongs to, edge first.
    pub(super) router: usize,
    pub(super) way: Way<'a>,
}

/// What a write does to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Changes it.
    Patch(ObjectPatch),
    /// Deletes it, if it still is the one that was read, in the version that was read.
    Delete {
        /// Its uid.
        uid: String,
        /// Its version.
        resource_version: String,
    },
    /// There is nothing to write: the object is not there, and is none that we make to say 0.
    Nothing,
}

impl Target<'_> {
    /// The object.
    pub fn object(&self) -> &ObjectRef {
        &self.object
    }

    /// What a person is to do, where only a person can.
    pub fn instructions(&self) -> Option<&str> {
        self.way.manual().map(|by_hand| by_hand.instructions.as_str())
    }

    /// The hook that has to be asked, where it is no object of the cluster.
    pub fn hook(&self) -> Option<Called<'_>> {
        self.way.hook()
    }

    /// Which of the component's routers it belongs to, counted from the edge.
    pub fn router(&self) -> usize {
        self.router
    }

    /// The annotation that carries this component's stamp.
    pub fn stamp_key(&self) -> &str {
        &self.key
    }

    /// What no other component, of this resource or another, may write; compare by [`ClaimKey::overlaps`]. Two
    /// targets of one component may well claim the same: they write the same weight.
    pub fn claims(&self) -> Vec<ClaimKey> {
        let claim = |part| ClaimKey {
            object: self.object.clone(),
            part,
        };
        let mut claims = match &self.way {
            Way::Istio(routes) => routes.claims(&self.object),
            Way::GatewayApi(rules) => rules.claims(&self.object),
            Way::ConfigMap(_) | Way::Deployment(_) | Way::Restart | Way::Hook(_) | Way::Manual(_) => {
                return vec![claim(Part::Whole)];
            }
            Way::Nginx(_) => return nginx::claims_of(&self.object),
        };
        claims.push(claim(Part::Stamp(self.key.clone())));
        claims
    }

    /// What the weight is a share of.
    pub fn share(&self) -> Share {
        match &self.way {
            Way::Istio(_) | Way::GatewayApi(_) | Way::Nginx(_) | Way::Hook(_) | Way::Manual(_) => {
                Share::Requests
            }
            Way::ConfigMap(_) | Way::Deployment(_) | Way::Restart => Share::NewObjects,
        }
    }

    /// What the object says. Works on a manifest that was never in a cluster too.
    pub fn read(&self, json: &Value) -> Result<Seen, RoutingError> {
        seen::expect_object(&self.object, json)?;
        let readings: Vec<Reading> = match &self.way {
            Way::Istio(routes) => routes
                .read(&self.object, json)
                .or_else(|error| self.put_back(json).ok_or(error))?,
            Way::GatewayApi(rules) => rules
                .read(&self.object, json)
                .or_else(|error| self.put_back(json).ok_or(error))?,
            Way::ConfigMap(_) => switch_config_map::read(&self.object, json)?,
            Way::Deployment(switch) => switch_deployment::read(switch, &self.object, json)?,
            Way::Restart => switch_restart::read(&self.object, json)?,
            Way::Nginx(canary) => canary.read(&self.object, json)?,
            Way::Hook(_) | Way::Manual(_) => hook::read(&self.object, json)?,
        };
        let parents = self.way.gateway_api().map(|_| parents::read(json));
        let parents = parents.unwrap_or_default();
        let waiting_for = match &self.way {
            Way::Deployment(_) | Way::Restart => switch_deployment::waiting_for(json),
            Way::GatewayApi(_) => parents.waiting_for.clone(),
            Way::Manual(_) => manual::asked(json).map(|asked| asked.words),
            Way::Istio(_) | Way::ConfigMap(_) | Way::Nginx(_) | Way::Hook(_) => None,
        };
        let weights = || readings.iter().map(|reading| reading.weight);
        let owned = |pointer: &str| text(json, pointer).unwrap_or_default().to_owned();
        let weight = weights().max().unwrap_or_default();
        let stamp = self.stamp(json);
        let (istio, canary) = (self.way.istio(), self.way.nginx());
        let joins = canary.is_some_and(|canary| canary.joins(json, weight, stamp.as_ref()));
        let rogues = istio.and_then(|routes| routes.choosers(json));
        let choosers = rogues.or_else(|| canary?.choosers(json));
        let aside = match istio.filter(|routes| routes.lowering.is_none()) {
            Some(routes) => match routes.aside(&self.object, json) {
                Err(_) if self.put_back(json).is_some() => None,
                told => told?,
            },
            None => None,
        };
        let beyond = self.picked_of(json).map(|picked| {
            let shares = picked.stuck.iter().filter_map(|lone| lone.share);
            shares.max().unwrap_or_default()
        });
        Ok(Seen {
            weight,
            beyond: beyond.unwrap_or_default(),
            lowest: weights().min().unwrap_or_default(),
            stamp,
            settled: waiting_for.is_none(),
            waiting_for,
            uid: owned("/metadata/uid"),
            resource_version: owned("/metadata/resourceVersion"),
            generation: json.pointer("/metadata/generation").and_then(Value::as_i64),
            foreign_manager: seen::foreign_manager(&self.object, json),
            writer: seen::writer(&self.object, json),
            choosers,
            share: self.share(),
            parents,
            absent: false,
            joins,
            made: canary.is_some_and(|canary| canary.owns(json)),
            readings,
            aside,
        })
    }

    pub(super) fn stamp(&self, json: &Value) -> Option<Stamp> {
        let annotations = json.pointer("/metadata/annotations")?;
        annotations.get(&self.key)?.as_str()?.parse().ok()
    }

    /// What it means that the object is not there; `None` when it has to be.
    pub fn absent(&self) -> Option<Seen> {
        let canary = self.way.nginx()?;
        Some(Seen {
            weight: Weight::ZERO,
            beyond: Weight::ZERO,
            lowest: Weight::ZERO,
            readings: Vec::new(),
            stamp: None,
            settled: true,
            waiting_for: None,
            uid: String::new(),
            resource_version: String::new(),
            generation: None,
            foreign_manager: None,
            writer: None,
            choosers: None,
            share: self.share(),
            parents: Parents::default(),
            aside: None,
            absent: true,
            joins: canary.split.as_ref().is_some_and(|split| !split.known),
            made: false,
        })
    }

    /// Whether the object's pods read another object of its router when they start, and are only started anew here: they
    /// must not be before that other one is written, or they go on with what it said before.
    pub fn starts_anew(&self) -> bool {
        matches!(self.way, Way::Restart)
    }

    /// Whether the object is one of ours that nothing wants any more: it is deleted at the next write.
    pub fn is_stray(&self) -> bool {
        self.way.nginx().is_some_and(|canary| canary.split.is_none())
    }

    /// What makes the object, at weight 0 and with this stamp, which has to say 0; empty when it is not ours to make.
    pub fn births(&self, stamp: &Stamp) -> Vec<Value> {
        let canary = self.way.nginx();
        canary
            .map(|canary| canary.births(&self.key, stamp))
            .unwrap_or_default()
    }

    /// The patch that makes the object say the stamp's weight and carry the stamp, computed from the JSON that was
    /// read. It cannot land after a write of ours that came later than that read. Writing the weight that is already
    /// there still stamps.
    pub fn write(&self, json: &Value, stamp: &Stamp, mode: WriteMode) -> Result<ObjectPatch, RoutingError> {
        self.write_as(json, stamp, mode, false)
    }

    /// The same; a lowering writes as much as it can.
    pub(super) fn write_as(
        &self,
        json: &Value,
        stamp: &Stamp,
        mode: WriteMode,
        lowering: bool,
    ) -> Result<ObjectPatch, RoutingError> {
        seen::expect_object(&self.object, json)?;
        let weight = stamp.weight();
        let mut draft = self.draft(json);
        match &self.way {
            Way::Istio(routes) => {
                routes.draft(&self.object, json, weight, &mut draft)?;
                if stamp.puts_back() {
                    routes.strip(json, &mut draft);
                } else {
                    routes.take_off_rogues(json, &mut draft);
                }
            }
            Way::GatewayApi(rules) => rules.draft(&self.object, json, weight, &mut draft)?,
            Way::ConfigMap(switch) => {
                switch_config_map::draft(switch, &self.object, json, (weight, lowering), &mut draft)?;
            }
            Way::Deployment(switch) => {
                let how = (weight, mode, lowering);
                switch_deployment::draft(switch, &self.object, json, how, &mut draft)?;
            }
            Way::Restart => switch_restart::draft(&self.object, json, weight, &mut draft)?,
            Way::Nginx(canary) => canary.draft(&self.object, json, weight, &mut draft)?,
            Way::Hook(_) | Way::Manual(_) => hook::draft(json, weight, &mut draft),
        }
        draft.stamped(stamp)
    }

    /// The patch that makes the object carry what is wanted beside the weights, which stay as they are; `None` when
    /// it does already, or can carry no such thing. It cannot land after a write of ours that came later than the read.
    pub fn preview(&self, json: &Value, wanted: &Wanted) -> Result<Option<ObjectPatch>, RoutingError> {
        seen::expect_object(&self.object, json)?;
        let Some(routes) = self.way.istio() else {
            return Ok(None);
        };
        let Some(aside) = routes.aside(&self.object, json)? else {
            return Ok(None);
        };
        let (preview, mark) = wanted.of(&aside.spec);
        if aside.written.as_deref().unwrap_or_default() == mark && (aside.missing.is_some() || !aside.stale) {
            return Ok(None);
        }
        let mut draft = self.draft(json);
        routes.draft_preview(&self.object, json, (&preview, &mark), &mut draft)?;
        draft.unmarked()
    }

    /// The patch that takes the stamp off, and our rules and mirror with it, and leaves the weights as they are;
    /// `None` when there is nothing of ours.
    pub fn detach(&self, json: &Value) -> Option<ObjectPatch> {
        seen::expect_object(&self.object, json).ok()?;
        let mut draft = self.draft(json);
        if let Some(routes) = self.way.istio() {
            routes.strip(json, &mut draft);
        }
        if let Some(canary) = self.way.nginx() {
            if !canary.owns(json) {
                return None;
            }
            Canary::unsign(json, &mut draft);
        }
        draft.unstamped()
    }

    /// The smallest weight above 0 that the object can say; it can say all its multiples, and 100%.
    pub fn finest(&self, json: &Value) -> Result<Weight, RoutingError> {
        seen::expect_object(&self.object, json)?;
        match &self.way {
            Way::Istio(routes) => routes.finest(&self.object, json),
            Way::GatewayApi(rules) => rules.finest(&self.object, json),
            Way::ConfigMap(_) | Way::Deployment(_) | Way::Restart => Ok(controller_switch::FINEST),
            Way::Nginx(_) => Ok(nginx::FINEST),
            Way::Hook(_) | Way::Manual(_) => Ok(hook::FINEST),
        }
    }

    /// The greatest weight not above `weight` that the object can say, for a rollback to somewhere above 0.
    pub fn at_most(&self, json: &Value, weight: Weight) -> Result<Weight, RoutingError> {
        let finest = self.finest(json)?.permille().max(1);
        Ok(Weight::from_permille(weight.permille() / finest * finest).unwrap_or_default())
    }

    /// What is wrong with the question itself, before any object is read: the same destination twice, names in a list
    /// whose routes have none, or weights that this kind of router never takes.
    pub fn check(&self, weights: &[Weight]) -> Vec<RoutingError> {
        match &self.way {
            Way::Istio(routes) => {
                let asked = [routes.check(&self.object), routes.check_preview(&self.object)];
                asked.into_iter().filter_map(Result::err).collect()
            }
            Way::GatewayApi(rules) => rules.check(&self.object).err().into_iter().collect(),
            Way::ConfigMap(_) | Way::Deployment(_) | Way::Restart => weights
                .iter()
                .filter_map(|weight| {
                    controller_switch::percent(&self.object, "the percentage", *weight).err()
                })
                .collect(),
            Way::Nginx(_) | Way::Manual(_) => Vec::new(),
            Way::Hook(called) => called.check(&self.object).err().into_iter().collect(),
        }
    }

    /// Everything that would keep these weights from being written to the object as it is now.
    pub fn validate_object(&self, json: &Value, weights: &[Weight]) -> Vec<RoutingError> {
        let finest = match self.read(json).and_then(|_| self.finest(json)) {
            Ok(finest) => finest,
            Err(error) => return vec![error],
        };
        weights
            .iter()
            .filter(|weight| !weight.permille().is_multiple_of(finest.permille().max(1)))
            .map(|weight| RoutingError::TooFine {
                object: self.object.clone(),
                place: "this object".to_owned(),
                weight: *weight,
                finest,
            })
            .collect()
    }

    /// The Kubernetes Services (namespace, name) that the control arm names. Empty for hosts outside the
    /// cluster and for controllers: then nothing is known about control's endpoints.
    pub fn control_services(&self) -> Vec<(String, String)> {
        match &self.way {
            Way::Istio(routes) => service_of(&routes.pair.control.host, &self.object.namespace)
                .into_iter()
                .collect(),
            Way::GatewayApi(Rules { route, .. }) => backend::service(&route.control, &self.object.namespace)
                .into_iter()
                .collect(),
            Way::Nginx(canary) => canary
                .split
                .iter()
                .map(|s| (s.upstream.namespace.clone(), s.upstream.service.clone()))
                .collect(),
            Way::ConfigMap(_) | Way::Deployment(_) | Way::Restart | Way::Hook(_) | Way::Manual(_) => {
                Vec::new()
            }
        }
    }

    /// The same of the canary arm. Empty, too, for canary Ingresses: what stands behind them is another gateway's.
    pub fn canary_services(&self) -> Vec<(String, String)> {
        let namespace = &self.object.namespace;
        let istio = self.way.istio();
        let istio = istio.and_then(|routes| service_of(&routes.pair.canary.host, namespace));
        let gateway = self.way.gateway_api();
        let gateway = gateway.and_then(|rules| backend::service(&rules.route.canary, namespace));
        istio.into_iter().chain(gateway).collect()
    }

    pub(super) fn draft<'d>(&'d self, json: &'d Value) -> Draft<'d> {
        Draft::new(&self.object, json, &self.key)
    }
}
