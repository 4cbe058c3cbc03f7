//! Makes happen what a story says, through the same doors that people use.

use super::apiserver::{Action, Failure, Fault, Store};
use super::host::Host;
use super::observer::{EDGES, Observer, ROLLOUTS};
use super::story::{Act, When};
use super::tenants::Tenants;
use crate::clock::Clock;
use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::reason::Reason;
use crate::rollout::spec::{Destination, Gate, GradualRollout, Istio, Router, VirtualServiceRoutes};
use anyhow::Context as _;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Who speaks in stories.
const WHO: &str = "sandbox";
/// How long the sandbox waits for its approval to be taken up before it says it again: in virtual and in real time.
const PATIENCE: Duration = Duration::from_secs(600);
const REAL_PATIENCE: Duration = Duration::from_secs(5);

/// Everything that acts work on.
pub(super) struct Stage {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) tenants: Arc<Tenants>,
    pub(super) rollout: GradualRollout,
    pub(super) host: Host,
    /// Commands said so far.
    pub(super) said: u64,
}

/// What is still to happen.
pub(super) struct Script {
    acts: VecDeque<(When, Act)>,
    last: Timestamp,
    approved: Option<Timestamp>,
}

impl Script {
    pub(super) fn new(acts: &[(When, Act)], now: Timestamp) -> Self {
        Self {
            acts: acts.iter().copied().collect(),
            last: now,
            approved: None,
        }
    }

    pub(super) fn done(&self) -> bool {
        self.acts.is_empty()
    }

    /// What it waits for, for people.
    pub(super) fn next(&self) -> Option<String> {
        self.acts
            .front()
            .map(|(when, act)| format!("{act:?} at {when:?}"))
    }

    /// Lets happen what is due.
    pub(super) async fn step(&mut self, observer: &Observer, stage: &mut Stage) -> anyhow::Result<()> {
        while let Some((when, act)) = self.acts.front().copied() {
            let now = stage.clock.now();
            if !self.due(when, observer, now) {
                break;
            }
            self.acts.pop_front();
            self.last = now;
            tracing::info!(?act, "the story goes on");
            stage
                .perform(act)
                .await
                .with_context(|| format!("the story could not do {act:?}"))?;
        }
        let waits = |reason| observer.rows().iter().any(|row| row.reason == reason);
        let (asked, listed) = (
            waits(Reason::AwaitingApproval),
            waits(Reason::WaitingForChecklist),
        );
        let now = stage.clock.now();
        let patience = match stage.clock {
            Clock::System => REAL_PATIENCE,
            Clock::Simulated { .. } => PATIENCE,
        };
        let again = self
            .approved
            .is_none_or(|at| now.duration_since(at).unsigned_abs() >= patience);
        if (asked || listed) && again {
            self.approved = Some(now);
            if asked {
                stage.say(Verb::Approve, "*").await?;
            }
            for item in if listed { stage.items() } else { Vec::new() } {
                stage.tick(item).await?;
            }
        }
        Ok(())
    }

    fn due(&self, when: When, observer: &Observer, now: Timestamp) -> bool {
        match when {
            When::Weight(component, percent) => observer
                .row(component)
                .is_some_and(|row| row.weight.written.permille() >= percent.saturating_mul(10)),
            When::After(wait) => now.duration_since(self.last).unsigned_abs() >= wait,
            When::MidRaise(component) => observer
                .rows()
                .iter()
                .any(|row| row.intent && (component == "*" || row.name == component)),
            When::Says(component, reason) => observer.row(component).is_some_and(|row| row.reason == reason),
        }
    }
}

impl Stage {
    async fn perform(&mut self, act: Act) -> anyhow::Result<()> {
        let now = self.clock.now();
        match act {
            Act::Fail(component, side, errors) => self.tenants.fail(component, side, errors, now),
            Act::Slow(component, side, factor) => self.tenants.slow(component, side, factor, now),
            Act::Heal(component) => self.tenants.heal(component, now),
            Act::Dark => self
                .tenants
                .darken(Some("connection refused: the story took the source away")),
            Act::Light => self.tenants.darken(None),
            Act::Edit(component, percent) => self.edit(component, percent).await?,
            Act::Say(verb, component) => self.say(verb, component).await?,
            Act::Stall(component, wait) => self.next_write(component, Action::Delay(wait))?,
            Act::LoseAnswer(component) => {
                let lost = Failure::new(504, "Timeout", "the answer was lost on the way");
                self.next_write(component, Action::FailAfter(lost))?;
            }
            Act::Restart => self.host.restart().await,
        }
        Ok(())
    }

    fn next_write(&self, component: &str, action: Action) -> anyhow::Result<()> {
        let (_, routes) = self.edge(component)?;
        let fault = Fault::new(action)
            .verb("patch")
            .resource(EDGES)
            .name(&routes.name)
            .times(1);
        self.store.faults().inject(fault);
        Ok(())
    }

    /// The first VirtualService of a component.
    fn edge(&self, component: &str) -> anyhow::Result<(&Istio, &VirtualServiceRoutes)> {
        let found = self.rollout.spec.components.iter().find(|c| c.name == component);
        let mut routers = found.into_iter().flat_map(|c| &c.routers);
        let edge = routers.find_map(|router| match router {
            Router::Istio(istio) => istio.virtual_services.first().map(|routes| (istio, routes)),
            Router::GatewayApi(_)
            | Router::ControllerSwitch(_)
            | Router::IngressNginx(_)
            | Router::Hook(_)
            | Router::Manual(_) => None,
        });
        edge.with_context(|| format!("{component} has no VirtualService"))
    }

    fn namespace(&self) -> &str {
        self.rollout.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// Somebody else edits the weights of a VirtualService.
    async fn edit(&self, component: &str, percent: u16) -> anyhow::Result<()> {
        let (istio, routes) = self.edge(component)?;
        let home = routes.namespace.as_deref().unwrap_or(self.namespace());
        let object = self
            .store
            .get(EDGES, home, &routes.name)
            .context("the VirtualService is gone")?;
        let mut http = object.pointer("/spec/http").cloned().unwrap_or_default();
        for route in http.as_array_mut().into_iter().flatten() {
            for to in route
                .get_mut("route")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                let text = |pointer: &str| to.pointer(pointer).and_then(Value::as_str);
                let is = |one: &Destination| {
                    text("/destination/host") == Some(&one.host)
                        && text("/destination/subset") == one.subset.as_deref()
                };
                let weight = if is(&istio.canary) {
                    percent
                } else if is(&istio.control) {
                    100_u16.saturating_sub(percent)
                } else {
                    continue;
                };
                if let Some(to) = to.as_object_mut() {
                    to.insert("weight".to_owned(), json!(weight));
                }
            }
        }
        let kind = ApiResource {
            group: "networking.istio.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "networking.istio.io/v1".to_owned(),
            kind: "VirtualService".to_owned(),
            plural: "virtualservices".to_owned(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.store.client(home), home, &kind);
        let who = PatchParams {
            field_manager: Some("kubectl-edit".to_owned()),
            ..PatchParams::default()
        };
        api.patch(&routes.name, &who, &Patch::Merge(json!({"spec": {"http": http}})))
            .await?;
        Ok(())
    }

    /// A person's wish, as an annotation.
    /// Every item of the plan's checklists.
    fn items(&self) -> Vec<String> {
        let phases = self.rollout.spec.phases.iter().flatten();
        let gates = phases.flat_map(|phase| {
            let steps = phase.steps.iter().flat_map(|step| &step.requires);
            phase.requires.iter().chain(steps).flatten()
        });
        let lists = gates.filter_map(|gate| match gate {
            Gate::Checklist(list) => Some(list.items.clone()),
            Gate::Approval(_) | Gate::Rollout(_) | Gate::Http(_) => None,
        });
        lists.flatten().collect()
    }

    async fn tick(&mut self, item: String) -> anyhow::Result<()> {
        let wish = Wish {
            item: Some(item),
            ..Wish::default()
        };
        self.wish(Verb::Approve, "*", wish).await
    }

    async fn say(&mut self, verb: Verb, component: &str) -> anyhow::Result<()> {
        self.wish(verb, component, Wish::default()).await
    }

    async fn wish(&mut self, verb: Verb, component: &str, wish: Wish) -> anyhow::Result<()> {
        self.said += 1;
        let millis = u64::try_from(self.clock.now().as_millisecond()).unwrap_or_default();
        let command = Command {
            id: ulid::Ulid::from_parts(millis, u128::from(self.said)).to_string(),
            verb,
            wish: Wish {
                components: vec![component.to_owned()],
                reason: "the story goes on".to_owned(),
                who: WHO.to_owned(),
                ..wish
            },
        };
        let name = self.rollout.metadata.name.clone().unwrap_or_default();
        let namespace = self.namespace();
        if self.store.get(ROLLOUTS, namespace, &name).is_none() {
            // Whoever deleted it with kubectl wants no approval.
            return Ok(());
        }
        let api: Api<GradualRollout> = Api::namespaced(self.store.client(namespace), namespace);
        let who = PatchParams {
            field_manager: Some("gradual-rollout-cli".to_owned()),
            ..PatchParams::default()
        };
        let annotations = json!({"metadata": {"annotations": {command.key(): command.value()}}});
        api.patch(&name, &who, &Patch::Merge(annotations)).await?;
        Ok(())
    }
}
