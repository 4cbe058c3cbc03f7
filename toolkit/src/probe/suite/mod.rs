//! The suites of the migration documents: what a corpus of GETs does not ask for.

mod certificates;
mod cors;
pub(super) mod guards;
mod limits;
mod performance;
pub(super) mod preflights;
mod protocols;
mod redirects;
mod tenants;

use super::hit::Hit;
use super::target::Target;
use super::{Probe, Suite};

/// Runs one suite: how many questions it asked, and what it found.
pub(super) async fn run(probe: &Probe, suite: Suite, targets: &[Target]) -> (usize, Vec<Hit>) {
    match suite {
        Suite::MultiTenant => tenants::run(probe, targets).await,
        Suite::Protocols => protocols::run(probe, targets).await,
        Suite::SslCertificates => certificates::run(probe, targets).await,
        Suite::Cors => cors::run(probe, targets).await,
        Suite::Performance => performance::run(probe, targets).await,
        Suite::Limits => limits::run(probe, targets).await,
        Suite::Guards => guards::run(probe, targets).await,
        Suite::Redirects => redirects::run(probe, targets).await,
        // Asked by others.
        Suite::Routes | Suite::Edge | Suite::All => (0, Vec::new()),
    }
}
