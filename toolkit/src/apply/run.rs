//! Writing a plan: in its order, no faster than allowed, and no further than the budget for failures reaches.

use super::args::ApplyArgs;
use super::gateway::{self, Beneath};
use super::item::{self, Change, Item};
use super::live::Live;
use super::opening::Opening;
use super::plan::{Mark, Plan};
use super::remembered;
use super::send::{params, send};
use crate::cluster::{self, Cluster, Kind};
use crate::dry::DryRun;
use crate::marks;
use crate::pace::{Pace, paced};
use crate::progress::Progress;
use crate::rollback::run::delete;
use crate::trouble::Trouble;
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::Patch;
use serde::Serialize;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeSet;

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Became {
    /// It was written, or would be.
    Written,
    /// It is as it should be.
    Same,
    /// It was not written, as something that it needs is missing, or somebody else's hand is in it.
    LeftOut,
    /// The cluster refused it.
    Failed,
    /// The budget for failures was used up before, or it was told to end.
    NotReached,
}

/// One line of what was done.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// `Kind namespace/name`.
    pub object: String,
    /// What had to be done.
    pub action: &'static str,
    /// What became of it.
    pub result: Became,
    /// Why it was not written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A plan being written.
pub struct Run<'a> {
    /// As typed.
    pub args: &'a ApplyArgs,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// How fast.
    pub pace: &'a Pace,
    /// Whether it was told to end.
    pub stopped: &'a (dyn Fn() -> bool + Sync),
    /// What was there before.
    pub live: &'a Live,
    /// The gateway's namespace.
    pub home: &'a str,
    /// What was done, in that order.
    pub lines: Vec<Line>,
    /// How many objects failed.
    pub failures: usize,
    /// Hosts that stay closed.
    pub bad: BTreeSet<String>,
    /// Hosts of routes that would lead on what nginx guards.
    pub withheld: BTreeSet<String>,
    /// What nginx guards.
    pub opening: &'a Opening<'a>,
    /// Gateways that were written before their routes, as they are since.
    pub early: Vec<Value>,
}

/// How much the widest of some hosts takes: names nothing, wildcards the more the fewer labels they have, and `*` all.
pub fn width(hosts: &BTreeSet<String>) -> usize {
    let labels = |host: &String| match host.strip_prefix('*') {
        None => 0,
        Some(rest) => usize::MAX - rest.matches('.').count(),
    };
    hosts.iter().map(labels).max().unwrap_or_default()
}

/// Whether a host is among some, or under a wildcard among them.
pub fn under(host: &str, all: &BTreeSet<String>) -> bool {
    let over = host.match_indices('.').filter_map(|(at, _)| host.get(at..));
    all.contains(host)
        || all.contains("*")
        || over
            .map(|suffix| format!("*{suffix}"))
            .any(|wide| all.contains(&wide))
}

impl Run<'_> {
    /// Writes a plan.
    pub async fn all(
        &mut self,
        plan: &Plan,
        now: Timestamp,
        progress: &mut Progress<'_>,
    ) -> Result<(), Trouble> {
        for kind in [
            cluster::SECRET,
            cluster::DESTINATION_RULE,
            cluster::AUTHORIZATION_POLICY,
            cluster::VIRTUAL_SERVICE,
        ] {
            if self.args.secrets_only && kind != cluster::SECRET {
                break;
            }
            if kind == cluster::VIRTUAL_SERVICE {
                self.moving(plan, progress).await?;
            }
            let items = plan.items.iter().filter(|item| item.kind == kind);
            let mut items: Vec<Item> = items.cloned().collect();
            if kind != cluster::VIRTUAL_SERVICE {
                self.items(items, progress).await?;
                continue;
            }
            // The narrowest first: until a name has its own route, a wider one would take its requests.
            items.sort_by_key(|item| width(&item.hosts));
            for tier in items.chunk_by(|a, b| width(&a.hosts) == width(&b.hosts)) {
                self.unopening(tier, plan);
                self.items(tier.to_vec(), progress).await?;
            }
        }
        if self.args.secrets_only {
            return Ok(());
        }
        let gateways = plan.items.iter().filter(|item| item.kind == cluster::GATEWAY);
        let planned = gateways.clone().count();
        let (mut opening, mut shut) = (Vec::new(), Vec::new());
        for item in gateways {
            match self.gateway(item, plan) {
                Some(open) => opening.push(open),
                None => shut.push(item),
            }
        }
        for item in shut {
            let result = if self.failures > self.args.max_failures || (self.stopped)() {
                Became::NotReached
            } else {
                Became::LeftOut
            };
            let why = "none of its hosts can be opened, as something that they need is missing".to_owned();
            self.line(item.object(), item.change, result, why);
            progress.step()?;
        }
        let gateways = opening;
        let (all, before) = (gateways.len() == planned, self.lines.len());
        self.items(gateways, progress).await?;
        let mut written = self.lines.iter().skip(before);
        let shut = all && written.all(|line| matches!(line.result, Became::Written | Became::Same));
        self.prune(plan, shut, progress).await?;
        self.accept(plan).await;
        self.marks(&plan.marks, now, progress).await
    }

    /// Holds back what would lead on what nginx guards now that not every narrower route could be written.
    fn unopening(&mut self, tier: &[Item], plan: &Plan) {
        if self.bad.len() == plan.bad.len() {
            return;
        }
        let out = |item: &&Item| {
            item.hosts
                .iter()
                .any(|host| self.bad.contains(host) || self.withheld.contains(host))
        };
        let planned = plan
            .items
            .iter()
            .filter(|item| item.kind == cluster::VIRTUAL_SERVICE);
        let there =
            planned.filter(|item| width(&item.hosts) <= tier.first().map_or(0, |item| width(&item.hosts)));
        let written: Vec<&Value> = there
            .filter(|item| !out(item) && item.change != Change::Same)
            .map(|item| &item.body)
            .collect();
        let leading = self.opening.unguarded(&written, &BTreeSet::new());
        let leading: BTreeSet<gateway::Host> =
            leading.values().map(|one| gateway::key(one.lead.route)).collect();
        let opens = |item: &&Item| leading.contains(&(item.namespace.clone(), item.name.clone()));
        let hosts = tier.iter().filter(opens).flat_map(|item| item.hosts.clone());
        self.withheld.extend(hosts.collect::<Vec<_>>());
    }

    /// Writes what was accepted: without that the next run would close what was agreed to, so where it fails none of it is
    /// marked.
    async fn accept(&mut self, plan: &Plan) {
        if plan.accepted.is_empty() || self.failures > self.args.max_failures || (self.stopped)() {
            return;
        }
        let object = cluster::CONFIG_MAP.named(self.home, remembered::RECORD);
        let written = remembered::write(self.cluster, self.args, self.home, &plan.accepted).await;
        let (result, why) = became(Some(written.map(|()| String::new())));
        if result != Became::Written {
            self.failures += 1;
            let accepting = plan.marks.iter().filter(|mark| !mark.accepted.is_empty());
            self.bad
                .extend(accepting.flat_map(|mark| mark.hosts.iter().cloned()));
        }
        self.line(object, Change::Update, result, why);
    }

    /// Deletes what nothing needs any more, once the Gateway is as it should be: before that its hosts may be open.
    async fn prune(&mut self, plan: &Plan, shut: bool, progress: &mut Progress<'_>) -> Result<(), Trouble> {
        let (cluster, dry_run) = (self.cluster, self.args.dry_run.is_some());
        let most = self.args.max_failures;
        for group in plan.pruned.chunk_by(|a, b| a.0 == b.0) {
            let lines = if !shut {
                let why = "the Gateway is not as it should be";
                pruned_as(group, Became::LeftOut, why)
            } else if self.failures > most || (self.stopped)() {
                pruned_as(group, Became::NotReached, "")
            } else if self.args.dry_run == Some(DryRun::Client) {
                pruned_as(group, Became::Written, "")
            } else {
                delete(cluster, self.pace, group, dry_run).await
            };
            for line in lines {
                self.failures += usize::from(line.result == Became::Failed);
                self.lines.push(line);
                progress.step()?;
            }
        }
        Ok(())
    }

    /// Opens hosts that are served already at a Gateway that they move to, before their routes are bound to it.
    async fn moving(&mut self, plan: &Plan, progress: &mut Progress<'_>) -> Result<(), Trouble> {
        if self.args.dry_run.is_some() {
            return Ok(());
        }
        let served = self.live.served();
        for item in plan.items.iter().filter(|item| item.kind == cluster::GATEWAY) {
            let there = self.before(item).as_ref().map(gateway::open).unwrap_or_default();
            let moving = |host: &gateway::Host| served.contains(host) && !there.contains(host);
            let unmoved = |host: &gateway::Host| !there.contains(host) && !moving(host);
            if !gateway::open(&item.body).iter().any(moving) {
                continue;
            }
            let Some(body) = gateway::without(&item.body, &unmoved, &Beneath::default()) else {
                continue;
            };
            let Some(early) = self.gateway(&Item { body, ..item.clone() }, plan) else {
                continue;
            };
            self.items(vec![early], progress).await?;
            let now = self.cluster.get(&item.kind, &item.namespace, &item.name).await;
            let now = now.map_err(|error| Trouble::kube(format!("read {}", item.object()), &error))?;
            self.early.extend(now);
        }
        Ok(())
    }

    /// Whether a host is not opened: something that it needs is missing, or its route would open others.
    fn lacks(&self, host: &str) -> bool {
        under(host, &self.bad) || self.withheld.contains(host)
    }

    /// An object as it was before it is written.
    fn before(&self, item: &Item) -> Option<Value> {
        let is = |object: &&Value| gateway::key(object) == (item.namespace.clone(), item.name.clone());
        let early = self
            .early
            .iter()
            .find(is)
            .filter(|_| item.kind == cluster::GATEWAY);
        let before = early.or_else(|| self.live.get(&item.kind, &item.namespace, &item.name));
        before.cloned()
    }

    /// The Gateway without the hosts whose routes are missing; what it has already stays.
    fn gateway(&self, item: &Item, plan: &Plan) -> Option<Item> {
        let closed = |host: &gateway::Host| self.lacks(&host.1) && !plan.open.contains(host);
        let before = self.before(item);
        let live = before.as_ref();
        let body = gateway::without(&item.body, &closed, &plan.beneath(item))?;
        let hosts = gateway::open(&body).into_iter().map(|(_, host)| host);
        let hosts = hosts.filter(|host| !self.lacks(host)).collect();
        let change = item::change(&body, live);
        let mut body = item::stamped(body, None);
        // Whoever writes another batch at the same time must not lose its hosts.
        if let (Some(live), Some(meta)) = (live, body.pointer_mut("/metadata").and_then(Value::as_object_mut))
        {
            meta.insert(
                "resourceVersion".to_owned(),
                cluster::meta(live, "resourceVersion").into(),
            );
        }
        Some(Item {
            body,
            change,
            hosts,
            ..item.clone()
        })
    }

    fn line(&mut self, object: String, change: Change, result: Became, message: String) {
        self.lines.push(Line {
            object,
            action: change.word(),
            result,
            message,
        });
    }

    /// Writes objects of one kind, many at once.
    async fn items(&mut self, items: Vec<Item>, progress: &mut Progress<'_>) -> Result<(), Trouble> {
        let mut waiting = Vec::new();
        for item in items {
            let edited = item.change.is_drift() && !self.args.overwrite;
            if item.change == Change::Same {
                self.line(item.object(), item.change, Became::Same, String::new());
            } else if edited || item.change == Change::Foreign {
                self.bad.extend(item.hosts.iter().cloned());
                self.line(
                    item.object(),
                    item.change,
                    Became::LeftOut,
                    item.change.word().to_owned(),
                );
            } else if item.kind == cluster::VIRTUAL_SERVICE
                && item.hosts.iter().any(|host| self.withheld.contains(host))
            {
                let why = "it would lead on what nginx guards".to_owned();
                self.withheld.extend(item.hosts.iter().cloned());
                self.line(item.object(), item.change, Became::LeftOut, why);
            } else if item.kind == cluster::VIRTUAL_SERVICE
                && item.hosts.iter().any(|host| self.bad.contains(host))
            {
                let why = "something that it needs is missing".to_owned();
                self.bad.extend(item.hosts.iter().cloned());
                self.line(item.object(), item.change, Became::LeftOut, why);
            } else {
                waiting.push(item);
                continue;
            }
            progress.step()?;
        }
        let (cluster, args) = (self.cluster, self.args);
        let waiting: Vec<(Item, Option<Value>)> = waiting
            .into_iter()
            .map(|item| {
                let before = self.before(&item);
                (item, before)
            })
            .collect();
        let done = self
            .budgeted(
                &waiting,
                |(item, before)| send(cluster, item, before.as_ref(), args),
                progress,
            )
            .await?;
        for ((item, _), result) in waiting.iter().zip(done) {
            let (became, why) = became(result);
            if became != Became::Written {
                self.bad.extend(item.hosts.iter().cloned());
            }
            self.line(item.object(), item.change, became, why);
        }
        Ok(())
    }

    /// Does something for each of many, as long as the budget for failures lasts; none where it did not.
    async fn budgeted<'t, T, F: Future<Output = Result<String, String>>>(
        &mut self,
        waiting: &'t [T],
        act: impl Fn(&'t T) -> F,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Option<Result<String, String>>>, Trouble> {
        let mut done: Vec<Option<Result<String, String>>> = waiting.iter().map(|_| None).collect();
        let most = self.args.max_failures;
        let going = Cell::new(self.failures <= most);
        let stopped = self.stopped;
        let work = waiting
            .iter()
            .enumerate()
            .take_while(|_| going.get() && !stopped())
            .map(|(index, one)| {
                let acting = act(one);
                async move { (index, acting.await) }
            });
        let mut stream = std::pin::pin!(paced(work, self.pace));
        while let Some((index, result)) = stream.next().await {
            self.failures += usize::from(result.is_err());
            going.set(self.failures <= most);
            if let Some(slot) = done.get_mut(index) {
                *slot = Some(result);
            }
            progress.step()?;
        }
        Ok(done)
    }

    /// Marks the Ingresses whose hosts are open.
    async fn marks(
        &mut self,
        all: &[Mark],
        now: Timestamp,
        progress: &mut Progress<'_>,
    ) -> Result<(), Trouble> {
        let mut waiting = Vec::new();
        for mark in all {
            let (object, missing) = (
                super::select::object(&mark.key),
                mark.hosts.iter().any(|host| self.lacks(host)),
            );
            if missing || mark.hosts.is_empty() {
                let why = "not marked, as something of it is missing, or edited by others".to_owned();
                self.line(object, Change::Update, Became::LeftOut, why);
            } else if mark.stands() {
                self.line(object, Change::Same, Became::Same, String::new());
            } else {
                waiting.push(mark);
                continue;
            }
            progress.step()?;
        }
        let (cluster, args) = (self.cluster, self.args);
        let done = self
            .budgeted(&waiting, |mark| put_mark(cluster, mark, now, args), progress)
            .await?;
        for (mark, result) in waiting.iter().zip(done) {
            let (became, why) = became(result);
            self.line(super::select::object(&mark.key), Change::Update, became, why);
        }
        Ok(())
    }
}

fn pruned_as(group: &[(Kind, Value)], result: Became, why: &str) -> Vec<Line> {
    let line = |(kind, object): &(Kind, Value)| {
        let (namespace, name) = gateway::key(object);
        Line {
            object: kind.named(&namespace, &name),
            action: "delete",
            result,
            message: why.to_owned(),
        }
    };
    group.iter().map(line).collect()
}

/// What became of an object, and what there is to say of it.
fn became(result: Option<Result<String, String>>) -> (Became, String) {
    match result {
        Some(Ok(said)) => (Became::Written, said),
        Some(Err(why)) => (Became::Failed, why),
        None => (Became::NotReached, String::new()),
    }
}

async fn put_mark(
    cluster: &Cluster,
    mark: &Mark,
    now: Timestamp,
    args: &ApplyArgs,
) -> Result<String, String> {
    let Some(api) = cluster.api(&cluster::INGRESS, Some(&mark.key.0)) else {
        return Err("the cluster serves no Ingresses".to_owned());
    };
    if args.dry_run == Some(DryRun::Client) {
        return Ok(String::new());
    }
    let body = mark_body(mark, now);
    let sent = api
        .patch(&mark.key.1, &params(args, true), &Patch::Apply(&body))
        .await;
    sent.map(|_| String::new()).map_err(|error| said(&error))
}

/// The mark alone: server-side apply leaves everything else to whoever wrote it.
fn mark_body(mark: &Mark, now: Timestamp) -> Value {
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let after = mark
        .probed
        .and_then(|probed| Timestamp::from_second(probed.as_second() + 1).ok());
    let fresh = after.map_or(second, |after| after.max(second));
    // A mark that is only told what was accepted stands for what it stood for.
    let second = mark.since.filter(|_| mark.there).unwrap_or(fresh);
    let mut notes = json!({marks::MIGRATED_AT: second.to_string(), marks::SOURCE: mark.source});
    if let Some(notes) = notes.as_object_mut().filter(|_| !mark.accepted.is_empty()) {
        notes.insert(marks::ACCEPTED.to_owned(), mark.accepted.clone().into());
    }
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {
            "name": mark.key.1, "namespace": mark.key.0, "uid": mark.uid,
            "labels": {marks::MIGRATED: "true"},
            "annotations": notes,
        },
    })
}

/// What the cluster says, and nothing else.
pub fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    error.to_string()
}
