//! `block` and `unblock`: no new hosts for ingress-nginx, first in the audit log, then by warnings, then refused.

mod exempt;
mod judge;
mod lasting;
mod policy;
mod serve;
mod webhook;

pub use judge::{Rules, answer, refuses};
pub use lasting::lasting;
pub use policy::{Blocked, Group, Stage};
pub use serve::serve;

use crate::batch;
use crate::place::Place;
use crate::preflight::controller::{self, PREFIX};
use crate::preflight::picture::Picture;
use crate::put;
use crate::see::{self, kinds};
use crate::tenant::is_label;
use crate::trouble::{End, Trouble};
use clap::Args;
use policy::{NAME, SINCE};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Arguments of `migrate block`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without --mode it goes one stage further: audit, then warn, then deny. What is refused is an Ingress of the classes that
ingress-nginx serves (by name, by the legacy annotation, or without class where the controller takes those) that is new,
becomes nginx's, or gains a host or an alias; any other change of an Ingress passes. Solvers of ACME challenges that
serve nothing else and the canaries of this program pass while they are such, and are new hosts once they are not. Before Kubernetes 1.30 there are no such policies: then --webhook-service names the
Service of the daemon, which is asked instead.

Examples:
  gradual-rollout migrate block --dry-run
  gradual-rollout migrate block
  gradual-rollout migrate block --mode warn --exempt-namespace kube-system
  gradual-rollout migrate block --mode deny --exempt-user system:serviceaccount:sealos-system:gradual-rollout

Exit codes:
  0 done · 3 refused · 4 the policy is written and its binding is not · 64 a flag is wrong
  69 the cluster cannot be reached")]
pub struct BlockArgs {
    /// How hard [default: the next stage]
    #[arg(long, value_enum)]
    pub mode: Option<Stage>,
    /// Deny although nobody was warned before
    #[arg(long)]
    pub skip_stages: bool,
    /// A class that is blocked; may be repeated [default: those of the controllers that run]
    #[arg(long, value_name = "NAME")]
    pub class: Vec<String>,
    /// Block Ingresses without class too [default: where a controller takes them]
    #[arg(long)]
    pub without_class: bool,
    /// A namespace that is left alone; may be repeated
    #[arg(long, value_name = "NAME")]
    pub exempt_namespace: Vec<String>,
    /// A user that is left alone, such as a controller that writes Ingresses back; may be repeated
    #[arg(long, value_name = "USER")]
    pub exempt_user: Vec<String>,
    /// Before Kubernetes 1.30: the Service in front of the daemon's webhook, on port 443
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub webhook_service: Option<String>,
    /// Ask the API server whether it would take them, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `migrate unblock`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Deletes the binding, then the policy. Nothing else is touched; nothing is deleted that `block` did not write.

Examples:
  gradual-rollout migrate unblock --dry-run
  gradual-rollout migrate unblock

Exit codes:
  0 there is no block (any more) · 3 refused · 4 the binding is gone and the policy is not
  69 the cluster cannot be reached")]
pub struct UnblockArgs {
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What is there already.
struct Standing {
    policy: Option<Value>,
    binding: Option<Value>,
}

impl Standing {
    async fn look(place: &Place<'_>) -> Result<Self, Trouble> {
        let client = &place.client;
        let found = Self {
            policy: see::get(client, kinds::POLICY, None, NAME).await?,
            binding: see::get(client, kinds::BINDING, None, NAME).await?,
        };
        for object in found.policy.iter().chain(&found.binding) {
            if !put::is_ours(object) {
                return Err(Trouble::Refused(format!(
                    "unable to use {}: it has not the label {}={}, so somebody else wrote it; remove or rename it first",
                    see::object(object),
                    put::MANAGED_BY.0,
                    put::MANAGED_BY.1
                )));
            }
        }
        Ok(found)
    }

    /// The stage in force; without a binding a policy does nothing.
    fn stage(&self) -> Option<Stage> {
        self.policy.as_ref().and(self.binding.as_ref()).map(Stage::of)
    }
}

/// The block is the whole cluster's: a namespace that is named would be ignored.
fn everywhere(place: &Place<'_>, instead: &str) -> Result<(), Trouble> {
    place.namespace.as_ref().map_or(Ok(()), |namespace| {
        Err(Trouble::Usage(format!(
            "-n {namespace}: the block is about the whole cluster; leave -n out{instead}"
        )))
    })
}

/// Blocks.
pub async fn block(args: &BlockArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    everywhere(place, ", and name what is left alone with --exempt-namespace")?;
    if let Some(wrong) = args.exempt_namespace.iter().find(|name| !is_label(name)) {
        return Err(Trouble::Usage(format!(
            "--exempt-namespace {wrong:?} cannot be a namespace: lower case letters, digits and dashes"
        )));
    }
    let wanted = [kinds::DEPLOYMENT, kinds::DAEMON_SET, kinds::CLASS, kinds::POLICY];
    let picture = Picture::only(&place.client, (place.now)(), &wanted).await?;
    if !picture.serves("ValidatingAdmissionPolicy") {
        return by_webhook(args, &picture, place).await;
    }
    if args.webhook_service.is_some() {
        return Err(Trouble::Usage(
            "--webhook-service is for clusters without ValidatingAdmissionPolicies; this one has them"
                .to_owned(),
        ));
    }
    let standing = Standing::look(place).await?;
    let before = standing.stage();
    let stage = wanted_stage(args, before)?;
    let blocked = blocked(args, &picture)?;
    let since = standing
        .binding
        .as_ref()
        .filter(|_| before == Some(stage))
        .and_then(|binding| see::annotation(binding, SINCE))
        .map_or_else(|| put::stamp((place.now)()).to_string(), ToOwned::to_owned);
    if let (Some(policy), Some(binding)) = (&standing.policy, &standing.binding) {
        drops(place, &exempt::standing(policy, binding), &blocked)?;
    }
    let (policy, binding) = (policy::policy(&blocked), policy::binding(&blocked, stage, &since));
    let mut same = Vec::new();
    let written = put::apply(&place.client, kinds::POLICY, &policy, args.dry_run).await?;
    if batch::is_same(standing.policy.as_ref(), &written) {
        same.push(see::object(&policy));
    }
    match put::apply(&place.client, kinds::BINDING, &binding, args.dry_run).await {
        Ok(written) if batch::is_same(standing.binding.as_ref(), &written) => {
            same.push(see::object(&binding));
        }
        Ok(_) => {}
        Err(trouble) => {
            writeln!(
                place.err,
                "written: {}, which does nothing without its binding",
                see::object(&policy)
            )?;
            writeln!(place.err, "not written: {trouble}")?;
            return Ok(if args.dry_run { End::Refused } else { End::Partly });
        }
    }
    let objects = [policy, binding];
    say(place, args, (before, stage), &blocked, &objects, &same)?;
    Ok(End::Done)
}

/// Says who was left alone and is so no more, before anything is written: each run says anew who is.
fn drops(place: &mut Place<'_>, before: &BTreeSet<String>, blocked: &Blocked) -> Result<(), Trouble> {
    let now = exempt::wanted(blocked);
    for gone in before.difference(&now) {
        writeln!(
            place.err,
            "warning: {gone} was left alone and is so no more; say --exempt-{gone} again where it is to stay so"
        )?;
    }
    Ok(())
}

/// The stage to go to.
fn wanted_stage(args: &BlockArgs, before: Option<Stage>) -> Result<Stage, Trouble> {
    let stage = args
        .mode
        .unwrap_or_else(|| before.map_or(Stage::Audit, Stage::next));
    if stage == Stage::Deny && before.is_none_or(|before| before < Stage::Warn) && !args.skip_stages {
        return Err(Trouble::Refused(
            "unable to deny at once: nobody was warned yet; use --mode warn first, or add --skip-stages"
                .to_owned(),
        ));
    }
    Ok(stage)
}

/// The same by the daemon's webhook.
async fn by_webhook(args: &BlockArgs, picture: &Picture, place: &mut Place<'_>) -> Result<End, Trouble> {
    let Some(service) = &args.webhook_service else {
        let (major, minor) = picture.version;
        return Err(Trouble::Refused(format!(
            "unable to block: the cluster is {major}.{minor} and serves no ValidatingAdmissionPolicies \
             (Kubernetes 1.30); name the Service of the daemon's webhook with --webhook-service, upgrade the \
             cluster, or take the right to create Ingresses away from tenants by RBAC"
        )));
    };
    let service = service
        .split_once('/')
        .ok_or_else(|| Trouble::Usage(format!("--webhook-service {service:?} is not NAMESPACE/NAME")))?;
    if see::get(&place.client, kinds::SERVICE, Some(service.0), service.1)
        .await?
        .is_none()
    {
        return Err(Trouble::Refused(format!(
            "there is no Service {}/{}",
            service.0, service.1
        )));
    }
    let rules = webhook::rules(&place.client, service.0).await?;
    let before = rules.as_ref().map(|rules| rules.stage);
    let stage = wanted_stage(args, before)?;
    let blocked = blocked(args, picture)?;
    if let Some(rules) = &rules {
        drops(place, &exempt::wanted(&rules.blocked), &blocked)?;
    }
    let objects = webhook::objects(place, service, &blocked, stage, rules.as_ref()).await?;
    let done = batch::apply(&place.client, &objects, args.dry_run).await;
    if done.trouble.is_some() {
        for object in &done.done {
            writeln!(place.err, "written: {object}")?;
        }
        return done.end(place, "written");
    }
    // Keys and certificates are nobody's reading matter.
    let shown: Vec<Value> = objects
        .into_iter()
        .filter(|(kind, _)| *kind != kinds::SECRET)
        .map(|(_, object)| object)
        .collect();
    say(place, args, (before, stage), &blocked, &shown, &done.same)?;
    Ok(End::Done)
}

/// What is blocked: as typed, or as the controllers have it; in groups, as each controller has its own annotations.
fn blocked(args: &BlockArgs, picture: &Picture) -> Result<Blocked, Trouble> {
    let typed: BTreeSet<&str> = args.class.iter().map(String::as_str).collect();
    let mut groups: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>, bool)> = BTreeMap::new();
    for controller in controller::controllers(picture) {
        let (mut classes, mut legacy) = (controller.classes(picture), BTreeSet::new());
        legacy.insert(controller.class().to_owned());
        if !typed.is_empty() {
            // By the annotation people may name what they name by the field.
            legacy.extend(classes.iter().cloned());
            classes.retain(|class| typed.contains(class.as_str()));
            legacy.retain(|class| typed.contains(class.as_str()));
        }
        let takes_all = controller.on("watch-ingress-without-class", false);
        if classes.is_empty() && legacy.is_empty() && !takes_all {
            continue;
        }
        let group = groups.entry(controller.prefix().to_owned()).or_default();
        group.0.extend(classes);
        group.1.extend(legacy);
        group.2 |= takes_all;
    }
    let known = |class: &str| groups.values().any(|group| group.0.contains(class));
    // Classes of controllers that may not be seen.
    let strangers: BTreeSet<String> = typed
        .iter()
        .filter(|class| !known(class))
        .map(ToString::to_string)
        .collect();
    told_from_a_slip(&strangers, picture)?;
    if !strangers.is_empty() {
        let prefix = match groups.keys().next() {
            Some(prefix) if groups.len() == 1 => prefix.clone(),
            _ => PREFIX.to_owned(),
        };
        let group = groups.entry(prefix).or_default();
        group.0.extend(strangers.iter().cloned());
        group.1.extend(strangers);
    }
    if groups.values().all(|group| group.0.is_empty()) {
        return Err(Trouble::Refused(
            "unable to tell which classes are nginx's: no Deployment or DaemonSet that may be seen runs \
             nginx-ingress-controller; name them with --class"
                .to_owned(),
        ));
    }
    let none_takes_all = !groups.values().any(|group| group.2);
    let groups = groups
        .into_iter()
        .map(|(prefix, (classes, legacy, takes_all))| Group {
            classes: classes.into_iter().collect(),
            legacy: legacy.into_iter().collect(),
            // Where it is only said that some controller takes them, it may be any.
            without_class: takes_all || (args.without_class && none_takes_all),
            prefix,
        });
    Ok(Blocked {
        groups: groups.collect(),
        namespaces: args.exempt_namespace.clone(),
        users: args.exempt_user.clone(),
    })
}

/// A class that no controller of those that are seen serves, and of which there is no object, is a slip: a block of it would
/// block nothing, and take the place of one that does.
fn told_from_a_slip(strangers: &BTreeSet<String>, picture: &Picture) -> Result<(), Trouble> {
    let objects: BTreeSet<&str> = picture.of(kinds::CLASS.kind).iter().map(see::name).collect();
    let served: BTreeSet<String> = controller::controllers(picture)
        .iter()
        .flat_map(|one| one.classes(picture).into_iter().chain([one.class().to_owned()]))
        .collect();
    if served.is_empty() || !picture.sees(kinds::CLASS.kind) {
        return Ok(());
    }
    match strangers.iter().find(|class| !objects.contains(class.as_str())) {
        None => Ok(()),
        Some(class) => {
            let known: BTreeSet<&str> = served.iter().map(String::as_str).chain(objects).collect();
            let known: Vec<&str> = known.into_iter().collect();
            Err(Trouble::Refused(format!(
                "--class {class:?}: there is no IngressClass of that name, and no controller serves it, so nothing would be \
                 blocked by it; there are {}",
                known.join(", ")
            )))
        }
    }
}

fn say(
    place: &mut Place<'_>,
    args: &BlockArgs,
    (before, stage): (Option<Stage>, Stage),
    blocked: &Blocked,
    objects: &[Value],
    same: &[String],
) -> Result<(), Trouble> {
    let dry_run = args.dry_run;
    if place.json {
        let whole = json!({
            "stage": stage.word(), "before": before.map(Stage::word), "dryRun": dry_run,
            "classes": blocked.classes(), "withoutClass": blocked.without_class(), "objects": objects,
        });
        serde_json::to_writer_pretty(&mut *place.out, &whole).map_err(std::io::Error::from)?;
        writeln!(place.out)?;
        return Ok(());
    }
    let done = if dry_run { "would be written" } else { "written" };
    for object in objects.iter().map(see::object) {
        let done = if same.contains(&object) {
            "as it should be"
        } else {
            done
        };
        writeln!(place.out, "{done}: {object}")?;
    }
    let from = before.map_or("nothing", Stage::word);
    writeln!(place.out, "stage: {} (was {from})", stage.word())?;
    let mut what = blocked.classes().join(", ");
    if blocked.without_class() {
        what.push_str(", and Ingresses without class");
    }
    writeln!(place.out, "new hosts of class {what}: {}", meaning(stage))?;
    if stage < Stage::Deny && !dry_run {
        writeln!(
            place.out,
            "next: gradual-rollout migrate block --mode {}{}",
            stage.next().word(),
            again(args)
        )?;
    }
    Ok(())
}

/// The flags that the next stage needs too: what is left out of it is left alone no more.
fn again(args: &BlockArgs) -> String {
    let mut words = String::new();
    let mut add = |flag: &str, values: &[String]| {
        for value in values {
            words.extend([" ", flag, " ", &typed(value)]);
        }
    };
    add("--class", &args.class);
    add("--exempt-namespace", &args.exempt_namespace);
    add("--exempt-user", &args.exempt_user);
    add("--webhook-service", args.webhook_service.as_slice());
    if args.without_class {
        words.push_str(" --without-class");
    }
    words
}

/// A word as a shell reads it back.
fn typed(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

const fn meaning(stage: Stage) -> &'static str {
    match stage {
        Stage::Audit => "written to the audit log only",
        Stage::Warn => "taken, with a warning for whoever writes them",
        Stage::Deny => "refused",
    }
}

/// What refuses new hosts by now, as `Kind name`; none where nothing does, a block that only warns among it.
pub async fn denying(client: &kube::Client) -> Result<Option<String>, Trouble> {
    let standing = Standing {
        policy: see::get(client, kinds::POLICY, None, NAME).await?,
        binding: see::get(client, kinds::BINDING, None, NAME).await?,
    };
    if let (Some(policy), Some(Stage::Deny)) = (&standing.policy, standing.stage()) {
        return Ok(Some(see::object(policy)));
    }
    let webhook = webhook::standing(client).await?;
    let Some((_, webhook)) = webhook.first() else {
        return Ok(None);
    };
    let home = see::text(webhook, "/webhooks/0/clientConfig/service/namespace").unwrap_or_default();
    let rules = webhook::rules(client, home).await?;
    let denies = rules.is_some_and(|rules| rules.stage == Stage::Deny);
    Ok(denies.then(|| see::object(webhook)))
}

/// Whether what an API server says is the refusal of a block of ours.
pub fn is_refusal(said: &str) -> bool {
    [NAME, webhook::ANSWERS, policy::MESSAGE]
        .iter()
        .any(|word| said.contains(word))
}

/// All that a block of ours is made of, in the order in which it is deleted; none where there is none. Refused where
/// somebody else wrote some of it.
pub async fn standing(place: &Place<'_>) -> Result<Vec<(see::Kind, Value)>, Trouble> {
    let standing = Standing::look(place).await?;
    // Without its binding a policy does nothing, so what is in force ends first; of the webhook it is the
    // configuration.
    let mut objects: Vec<(see::Kind, Value)> = Vec::new();
    objects.extend(standing.binding.map(|binding| (kinds::BINDING, binding)));
    objects.extend(standing.policy.map(|policy| (kinds::POLICY, policy)));
    let webhook = webhook::standing(&place.client).await?;
    if let Some((_, foreign)) = webhook.iter().find(|(_, object)| !put::is_ours(object)) {
        return Err(Trouble::Refused(format!(
            "{} was not written by `block`",
            see::object(foreign)
        )));
    }
    objects.extend(webhook);
    Ok(objects)
}

/// Takes the block away.
pub async fn unblock(args: &UnblockArgs, place: &mut Place<'_>) -> Result<End, Trouble> {
    everywhere(place, "")?;
    let objects = standing(place).await?;
    let done = batch::delete(&place.client, &objects, args.dry_run).await;
    if done.trouble.is_some() && !done.done.is_empty() {
        writeln!(place.err, "deleted: {}", done.done.join(", "))?;
    }
    if done.trouble.is_some() {
        return done.end(place, "deleted");
    }
    let gone = done.done;
    if place.json {
        let whole = json!({"deleted": gone, "dryRun": args.dry_run});
        serde_json::to_writer_pretty(&mut *place.out, &whole).map_err(std::io::Error::from)?;
        writeln!(place.out)?;
        return Ok(End::Done);
    }
    if gone.is_empty() {
        writeln!(place.out, "nothing is blocked")?;
    }
    let done = if args.dry_run {
        "would be deleted"
    } else {
        "deleted"
    };
    for object in gone {
        writeln!(place.out, "{done}: {object}")?;
    }
    Ok(End::Done)
}
