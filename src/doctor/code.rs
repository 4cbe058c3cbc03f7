//! The codes of findings: each stable, with what it means and what to do. `docs/doctor.md` lists the same.

use serde::{Serialize, Serializer};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Severity {
    /// A rollout cannot work so.
    Error,
    /// It may go wrong.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// `D101`; never given to anything else.
    pub(crate) name: &'static str,
    /// How grave.
    pub(crate) severity: Severity,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

macro_rules! codes {
    ($($constant:ident $severity:ident $meaning:literal $remedy:literal;)*) => {
        $(pub(crate) const $constant: &Code = &Code {
            name: stringify!($constant), severity: Severity::$severity, meaning: $meaning, remedy: $remedy,
        };)*
        /// Every code, in order.
        pub(crate) const ALL: &[&Code] = &[$($constant),*];
    };
}

codes! {
    D001 Info "There is no GradualRollout to look at." "Name another namespace with -n, look in all with -A, or at a file with -f.";
    D002 Error "The spec cannot be made a plan." "Mend the field that is named; `gradual-rollout validate` checks a file without a cluster.";
    D003 Warning "Something could not be looked at." "Grant the right that is named, or let somebody with more rights run the doctor.";
    D101 Error "The definition of GradualRollouts is not installed." "kubectl apply -f deploy/crd.yaml";
    D102 Error "The installed definition does not serve the version that this binary speaks." "gradual-rollout generate crd | kubectl apply -f -";
    D103 Error "The installed definition is older than this binary: it drops fields that the binary writes or reads." "gradual-rollout generate crd | kubectl apply -f -";
    D104 Warning "The installed definition is newer than this binary: it has fields that the binary does not know." "Install the release of gradual-rollout that the definition came with.";
    D201 Error "Whoever runs the doctor lacks a right that the daemon needs." "Grant it as deploy/rbac.yaml does. To ask for the daemon, run the doctor with its ServiceAccount's kubeconfig.";
    D301 Error "Components have arms, and no Prometheus is named." "Write --prometheus URL, or name a settings file that has a [prometheus] section with --config.";
    D302 Error "Prometheus gives no answer." "Check its address, the network and the time-out; the daemon holds every weight until it answers.";
    D303 Warning "Prometheus stamps samples in the future: its clock is ahead of this machine's." "Let both keep time (NTP); what is counted between two looks is wrong by the difference.";
    D304 Warning "The newest sample is old: nothing is scraped any more, or Prometheus' clock is behind." "Look at Prometheus' targets page, then at both clocks (NTP).";
    D305 Warning "The API server's clock and this machine's differ." "Let both keep time (NTP); Leases and windows of time are told by them.";
    D306 Warning "A time to look back is shorter than four scrapes, or samples are rarer than looks." "Write the length that is named, or scrape more often.";
    D401 Error "An arm's labels match no series." "Write the label's value that is named instead, or let Prometheus scrape the exporter.";
    D402 Error "An arm has series, and they cannot be judged by." "Do what the sentence says; `gradual-rollout checks test` shows every query.";
    D403 Warning "A histogram cannot tell what a limit asks." "Set the exporter's buckets so that one bound is the limit, as the sentence says.";
    D501 Error "A routed object is not there." "Create it, or mend its name in the component's router.";
    D502 Error "A routed object cannot carry the weights of the plan." "Mend the object or the router as the sentence says.";
    D503 Warning "Flux applies a routed object, and will put its weights back." "Annotate it in its manifest: kustomize.toolkit.fluxcd.io/ssa: IfNotPresent";
    D504 Info "Argo CD applies a routed object; whether it leaves the weights alone cannot be seen here." "Have the Application ignore the weights: write this into its spec.";
    D505 Info "Helm installed a routed object; its next upgrade writes the chart's weights." "Leave the weights out of what upgrades change, or upgrade while the rollout is at rest.";
    D506 Warning "A HelmRelease of Flux applies a routed object: an upgrade that changes its chart's weights writes them, and so does the correction of drift, where it is on." "Have the HelmRelease ignore them: write this into its spec; and leave the weights out of what upgrades change.";
}

/// A code by its name, in either case.
pub(crate) fn named(name: &str) -> Option<&'static Code> {
    ALL.iter()
        .find(|code| code.name.eq_ignore_ascii_case(name))
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_lists_every_code_as_the_program_explains_it_and_no_other() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.md")).unwrap();
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| D")).collect();
        let wanted: Vec<String> = ALL
            .iter()
            .map(|c| {
                format!(
                    "| {} | {} | {} | {} |",
                    c.name,
                    c.severity.word(),
                    c.meaning,
                    c.remedy.replace('|', "\\|")
                )
            })
            .collect();
        assert_eq!(rows, wanted);
    }

    #[test]
    fn codes_are_in_order_and_each_is_there_once() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert_eq!(named("d101"), Some(D101));
        assert_eq!(named("D999"), None);
    }
}
