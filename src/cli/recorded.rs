//! What `checks test` and `backtest` share: rollouts out of a file, and the Prometheus that they are held against.

use super::exit::{Exit, Failure};
use super::manifest::{self, Manifest};
use super::suggest::closest;
use super::{table, validate};
use crate::daemon;
use crate::metrics::Source;
use crate::rollout::plan::{Plan, PlannedComponent};
use crate::rollout::sample::{Blindness, Dark};
use crate::settings::Settings;
use std::path::Path;

/// A rollout out of a file.
pub(super) struct Read {
    /// `namespace/name`, for messages.
    pub name: String,
    /// Its plan.
    pub plan: Plan,
}

/// Every rollout of a file; a problem in one of them refuses the file.
pub(super) fn rollouts(file: &Path) -> Result<Vec<Read>, Failure> {
    let (name, text) = validate::read_text(file)?;
    let mut read = Vec::new();
    for manifest in manifest::read(&name, &text) {
        match manifest {
            Manifest::Rollout(rollout, plan) => {
                let namespace = rollout.metadata.namespace.as_deref().unwrap_or("default");
                let own = rollout.metadata.name.as_deref().unwrap_or_default();
                read.push(Read {
                    name: format!("{namespace}/{own}"),
                    plan: *plan,
                });
            }
            Manifest::Other(_) => {}
            Manifest::Broken(problems) => {
                let list: Vec<String> = problems.iter().map(|p| table::plain(&p.to_string())).collect();
                return Err(Failure::usage(list.join("\n")));
            }
        }
    }
    if read.is_empty() {
        return Err(Failure::usage(format!("{name} holds no GradualRollout")));
    }
    Ok(read)
}

/// The components that are meant: all that have arms, or those that are named.
pub(super) fn chosen<'p>(read: &'p Read, names: &[String]) -> Result<Vec<&'p PlannedComponent>, Failure> {
    let known = || read.plan.components.iter().map(PlannedComponent::name);
    for name in names {
        if !known().any(|own| own == name) {
            let near = closest(name, known()).map_or_else(
                || format!("it has {}", known().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean {near:?}?"),
            );
            return Err(Failure::refused(format!(
                "{} has no component {name:?}; {near}",
                read.name
            )));
        }
    }
    let meant = |p: &&PlannedComponent| names.is_empty() || names.iter().any(|name| name == p.name());
    Ok(read.plan.components.iter().filter(meant).collect())
}

/// The Prometheus of the settings (or of `--prometheus`, which is put into them).
pub(super) fn source(settings: &Settings) -> Result<Source, Failure> {
    if settings.prometheus.is_none() {
        return Err(Failure::usage(
            "which Prometheus? Write --prometheus URL, or name a settings file that has a [prometheus] section with --config",
        ));
    }
    daemon::source(settings.prometheus.as_ref()).map_err(|error| Failure::usage(error.to_string()))
}

/// Why a source said nothing, as an end.
#[expect(clippy::needless_pass_by_value, reason = "reads well in map_err")]
pub(super) fn blind(blindness: Blindness) -> Failure {
    let exit = if blindness.kind == Dark::Down {
        Exit::Unreachable
    } else {
        Exit::Refused
    };
    Failure::new(
        exit,
        format!("unable to read Prometheus: {}", table::plain(&blindness.message)),
    )
}
