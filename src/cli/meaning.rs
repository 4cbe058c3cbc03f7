//! What the arguments mean: one [`Ask`] for every command that changes something.

use super::args::{Classic, ComplaintArgs, HeaderRouteVerb, How, MirrorVerb, VerbArgs, Which};
use super::emergency::args::{EmergencyArgs, EmergencyMode};
use super::exit::Failure;
use crate::rollout::command::{Verb, Wish};
use crate::rollout::preview::{EditAction, RouteEdit};
use crate::rollout::weight::Weight;
use std::path::PathBuf;
use std::time::Duration;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ask {
    /// The wish's verb.
    pub verb: Verb,
    /// Its weight.
    pub weight: Option<Weight>,
    /// What `header-route` adds or removes.
    pub route: Option<RouteEdit>,
    /// The item that `approve` ticks.
    pub item: Option<String>,
    /// The phase that `approve` opens.
    pub phase: Option<String>,
    /// For whom.
    pub whom: Whom,
    /// In which rollout; `None`: look in all.
    pub rollout: Option<String>,
    /// Why.
    pub reason: String,
    /// Who, where it is not who runs this.
    pub who: Option<String>,
    /// Although the judge advises against it.
    pub force: bool,
    /// For `detach`: what stood in the routed objects before the first write comes back.
    pub restore: bool,
    /// The emergency's mode.
    pub emergency: Option<EmergencyMode>,
    /// Change nothing.
    pub dry_run: bool,
    /// What is asked before.
    pub confirm: Confirm,
    /// How long to wait.
    pub timeout: Duration,
    /// Where the report goes.
    pub report: Option<PathBuf>,
    /// What comes after an emergency.
    pub after: After,
}

/// How an emergency is verified and told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct After {
    /// Addresses that have to answer.
    pub probes: Vec<String>,
    /// Hosts that components' own probes may go to, by the settings.
    pub probe_hosts: Vec<String>,
    /// Webhooks to tell besides those of the settings.
    pub notify: Vec<String>,
    /// How long things may take to be well again.
    pub verify: Duration,
}

/// For which components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// These.
    Named(Vec<String>),
    /// Every one of every rollout that is meant.
    All,
}

/// What is asked before something is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirm {
    /// Nothing.
    Nothing,
    /// y or N.
    YesNo,
    /// The word EMERGENCY.
    Emergency,
}

const WAIT: Duration = Duration::from_secs(300);
const WAIT_EMERGENCY: Duration = Duration::from_secs(180);
/// Two scrapes of a slow Prometheus and a Deployment's rollout, if it is a quick one.
const VERIFY: Duration = Duration::from_secs(60);

impl Ask {
    /// From the classic flags. Without a percentage nothing is asked for: `None` is a look at the status.
    pub(super) fn classic(classic: Classic) -> Result<Option<Self>, Failure> {
        let Classic {
            percentage,
            component,
            all_components,
            how,
        } = classic;
        let Some(weight) = percentage else {
            if component.is_empty() && !all_components && how == How::default() {
                return Ok(None);
            }
            return Err(Failure::usage(
                "nothing to do without --percentage: write --percentage N, or a command such as `status` or `rollback`",
            ));
        };
        let which = Which {
            names: Vec::new(),
            component,
            all_components,
            how,
        };
        Self::new(Verb::Set, Some(weight), which).map(Some)
    }

    /// From a verb; `None` when it changes nothing in the cluster.
    pub(super) fn verb(verb: VerbArgs) -> Result<Option<Self>, Failure> {
        let ask = match verb {
            VerbArgs::Set { weight, which } => Self::new(Verb::Set, Some(weight), which)?,
            VerbArgs::Pause(which) => Self::new(Verb::Pause, None, which)?,
            VerbArgs::Resume(which) => Self::new(Verb::Resume, None, which)?,
            VerbArgs::Promote(which) => Self::new(Verb::Promote, None, which)?,
            VerbArgs::Retry(which) => Self::new(Verb::Retry, None, which)?,
            VerbArgs::Detach { restore, which } => Self {
                restore,
                ..Self::new(Verb::Detach, None, which)?
            },
            VerbArgs::Rollback { to, which } => Self::new(Verb::Rollback, to, which)?,
            VerbArgs::Approve {
                item,
                step,
                comment,
                phase,
                mut which,
            } => {
                // A gate is the rollout's, so no component need be named.
                which.all_components |= which.names.is_empty() && which.component.is_empty();
                which.how.reason = which.how.reason.or(comment);
                let mut ask = Self::new(Verb::Approve, step, which)?;
                ask.phase = phase;
                ask.item = item;
                ask
            }
            VerbArgs::HeaderRoute { what } => Self::header_route(what)?,
            VerbArgs::Mirror { what } => match what {
                MirrorVerb::Set { share, which } => Self::new(Verb::Mirror, Some(share), which)?,
                MirrorVerb::Off(which) => Self::new(Verb::Mirror, None, which)?,
            },
            VerbArgs::EmergencyRollback(args) => Self::emergency(args)?,
            VerbArgs::Complaint(args) => Self::complaint(args)?,
            VerbArgs::Run { .. }
            | VerbArgs::Confirm { .. }
            | VerbArgs::Freeze { .. }
            | VerbArgs::Unfreeze
            | VerbArgs::Status { .. }
            | VerbArgs::Explain { .. }
            | VerbArgs::Checks { .. }
            | VerbArgs::Routes { .. }
            | VerbArgs::Backtest(_)
            | VerbArgs::Doctor(_)
            | VerbArgs::Init(_)
            | VerbArgs::Incident(_)
            | VerbArgs::Validate { .. }
            | VerbArgs::Plan { .. }
            | VerbArgs::Sandbox(_)
            | VerbArgs::Migrate { .. }
            | VerbArgs::Older(_)
            | VerbArgs::Generate { .. } => return Ok(None),
        };
        Ok(Some(ask))
    }

    fn new(verb: Verb, weight: Option<Weight>, which: Which) -> Result<Self, Failure> {
        let Which {
            names,
            component,
            all_components,
            how,
        } = which;
        Ok(Self {
            verb,
            weight,
            route: None,
            item: None,
            phase: None,
            whom: whom(names, component, all_components)?,
            rollout: how.rollout,
            reason: how.reason.unwrap_or_default(),
            who: None,
            force: how.force,
            restore: false,
            emergency: None,
            dry_run: how.dry_run,
            confirm: if how.no_confirm || how.dry_run {
                Confirm::Nothing
            } else {
                Confirm::YesNo
            },
            timeout: how.timeout.map_or(WAIT, |span| span.0),
            report: how.report,
            after: After::default(),
        })
    }

    fn header_route(what: HeaderRouteVerb) -> Result<Self, Failure> {
        let (action, tester, which) = match what {
            HeaderRouteVerb::Add { tester, which } => (EditAction::Add, tester, which),
            HeaderRouteVerb::Remove { tester, which } => (EditAction::Remove, tester, which),
        };
        if action == EditAction::Add && tester.header.is_none() && tester.cookie.is_none() {
            return Err(Failure::usage(
                "who is a tester? Say --header canary=true, or --cookie NAME=VALUE",
            ));
        }
        let mut ask = Self::new(Verb::HeaderRoute, None, which)?;
        ask.route = Some(RouteEdit {
            action,
            header: tester.header,
            cookie: tester.cookie,
        });
        Ok(ask)
    }

    fn complaint(args: ComplaintArgs) -> Result<Self, Failure> {
        if args.text.trim().is_empty() {
            return Err(Failure::usage("what is wrong? Say it with --text TEXT"));
        }
        let which = Which {
            names: vec![args.component],
            how: How {
                rollout: args.rollout,
                reason: Some(args.text),
                dry_run: args.dry_run,
                // It lowers nothing that a person would have to think about twice.
                no_confirm: true,
                timeout: args.timeout,
                ..How::default()
            },
            ..Which::default()
        };
        Ok(Self {
            who: args.who,
            ..Self::new(Verb::Complaint, None, which)?
        })
    }

    fn emergency(args: EmergencyArgs) -> Result<Self, Failure> {
        let weight = match (args.mode, args.percentage) {
            (EmergencyMode::Dual, share) => share.or(Weight::from_percent(10)).unwrap_or_default(),
            (_, None | Some(Weight::ZERO)) => Weight::ZERO,
            (_, Some(share)) => {
                return Err(Failure::usage(format!(
                    "--percentage {share} goes with --mode dual only: the other modes put everything back"
                )));
            }
        };
        if args.mode == EmergencyMode::Full && (!args.component.is_empty() || args.rollout.is_some()) {
            return Err(Failure::usage(
                "--mode full puts back everything; for some of it use --mode ingress with --component or --rollout",
            ));
        }
        let reason = args.reason.unwrap_or_default();
        if reason.trim().is_empty() && !args.dry_run {
            return Err(Failure::usage(
                "an emergency needs its reason, for those who come after: --reason TEXT",
            ));
        }
        let all = args.component.is_empty();
        let after = After {
            probes: args.probe,
            probe_hosts: Vec::new(),
            notify: args.notify,
            verify: args.verify.map_or(VERIFY, |span| span.0),
        };
        super::emergency::usable(&after)?;
        Ok(Self {
            verb: Verb::Rollback,
            weight: Some(weight),
            route: None,
            item: None,
            phase: None,
            whom: whom(Vec::new(), args.component, all)?,
            rollout: args.rollout,
            reason,
            who: None,
            force: false,
            restore: false,
            emergency: Some(args.mode),
            dry_run: args.dry_run,
            confirm: if args.force || args.dry_run {
                Confirm::Nothing
            } else {
                Confirm::Emergency
            },
            timeout: args.timeout.map_or(WAIT_EMERGENCY, |span| span.0),
            report: args.report,
            after,
        })
    }

    /// The wish as it is written on a rollout.
    pub(super) fn wish(
        &self,
        components: Vec<String>,
        who: &str,
        expires_at: Option<jiff::Timestamp>,
    ) -> Wish {
        let short = |text: &str| text.chars().take(512).collect::<String>();
        Wish {
            components,
            weight: self.weight,
            route: self.route.clone(),
            item: self.item.clone(),
            phase: self.phase.clone(),
            reason: short(&self.reason),
            who: short(who),
            force: self.force,
            restore: self.restore,
            automatic: false,
            emergency: self.emergency.is_some(),
            vouched: false,
            expires_at,
        }
    }

    /// What it does, in a few words for prompts and reports.
    pub(super) fn words(&self) -> String {
        let to = |w: Weight| format!(" to {w}");
        match (self.verb, self.emergency) {
            (_, Some(_)) => format!("emergency rollback{}", self.weight.map(to).unwrap_or_default()),
            (Verb::Rollback, _) => format!("roll back{}", self.weight.map(to).unwrap_or_default()),
            (Verb::Set, _) => format!("set{}", self.weight.map(to).unwrap_or_default()),
            (Verb::Mirror, _) => self
                .weight
                .map_or_else(|| "mirror off".to_owned(), |share| format!("mirror {share}")),
            (Verb::HeaderRoute, _) => match self.route.as_ref().map(|r| r.action) {
                Some(EditAction::Remove) => "remove routes for testers".to_owned(),
                Some(EditAction::Add) | None => "add a route for testers".to_owned(),
            },
            (verb, _) => verb.to_string(),
        }
    }
}

fn whom(names: Vec<String>, component: Vec<String>, all: bool) -> Result<Whom, Failure> {
    let mut all_names = names;
    for name in component {
        if !all_names.contains(&name) {
            all_names.push(name);
        }
    }
    match (all, all_names.is_empty()) {
        (true, true) => Ok(Whom::All),
        (false, false) => Ok(Whom::Named(all_names)),
        (true, false) => Err(Failure::usage(
            "name components or say --all-components, not both",
        )),
        (false, true) => Err(Failure::usage(
            "which component? Name it with --component NAME, or say --all-components",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Raw;
    use clap::Parser as _;

    fn asked(line: &str) -> Result<Option<Ask>, Failure> {
        let raw = Raw::try_parse_from(line.split(' ')).map_err(|e| Failure::usage(e.to_string()))?;
        match raw.verb {
            Some(verb) => Ask::verb(verb),
            None => Ask::classic(raw.classic),
        }
    }

    #[test]
    fn the_classic_words_mean_what_they_always_meant() {
        let ask = asked("gradual-rollout --percentage 5 --component terminal")
            .unwrap()
            .unwrap();
        assert_eq!((ask.verb, ask.weight), (Verb::Set, Weight::from_percent(5)));
        assert_eq!(ask.whom, Whom::Named(vec!["terminal".into()]));
        assert_eq!(ask.confirm, Confirm::YesNo);
        let ask = asked("gradual-rollout -p 40 --all-components -d")
            .unwrap()
            .unwrap();
        assert_eq!(
            (ask.whom, ask.dry_run, ask.confirm),
            (Whom::All, true, Confirm::Nothing)
        );
        assert_eq!(asked("gradual-rollout").unwrap(), None);
        assert_eq!(asked("gradual-rollout -n other -v").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        for line in [
            "gradual-rollout --percentage 101 --component a",
            "gradual-rollout --percentage -1 --component a",
            "gradual-rollout --percentage 5.55 --component a",
            "gradual-rollout --percentage 5",
            "gradual-rollout --percentage 5 --component a --all-components",
            "gradual-rollout --component a",
            "gradual-rollout pause",
            "gradual-rollout pause a --all-components",
            "gradual-rollout set a",
            "gradual-rollout emergency-rollback --mode ingress --percentage 10 --reason x",
            "gradual-rollout emergency-rollback --mode full --component a --reason x",
            "gradual-rollout emergency-rollback --all-components --component a --reason x",
            "gradual-rollout emergency-rollback",
            "gradual-rollout emergency-rollback --mode half --reason x",
        ] {
            let failure = asked(line).expect_err(line);
            assert_eq!(failure.exit, super::super::exit::Exit::Usage, "{line}");
        }
    }

    #[test]
    fn an_emergency_takes_everything_unless_told_otherwise_and_keeps_ten_percent_in_dual() {
        let all = asked("x emergency-rollback --all-components --reason x")
            .unwrap()
            .unwrap();
        assert_eq!(all.whom, Whom::All, "as the other commands say it");
        let ask = asked("x emergency-rollback --reason x").unwrap().unwrap();
        assert_eq!(
            (ask.verb, ask.weight, ask.whom),
            (Verb::Rollback, Some(Weight::ZERO), Whom::All)
        );
        assert_eq!(ask.confirm, Confirm::Emergency);
        let ask = asked("x emergency-rollback --mode dual --reason x --force")
            .unwrap()
            .unwrap();
        assert_eq!(
            (ask.weight, ask.confirm),
            (Weight::from_percent(10), Confirm::Nothing)
        );
        let wish = ask.wish(vec!["*".into()], "me", None);
        assert!(wish.emergency);
        let ask = asked("x emergency-rollback --mode ingress --percentage 0 --reason x")
            .unwrap()
            .unwrap();
        assert_eq!(ask.weight, Some(Weight::ZERO), "the old spelling");
    }

    #[test]
    fn a_gate_belongs_to_the_rollout_and_needs_no_component() {
        let ask = asked("x approve --rollout sealos --phase cutover")
            .unwrap()
            .unwrap();
        assert_eq!(
            (ask.verb, ask.whom, ask.phase.as_deref()),
            (Verb::Approve, Whom::All, Some("cutover"))
        );
    }
}
