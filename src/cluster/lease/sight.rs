//! A Lease as it is seen, and for how long it has not changed by our own clock.

use super::{ASKED_BY, SHARDS};
use k8s_openapi::api::coordination::v1::Lease;
use std::time::Duration;
use tokio::time::Instant;

/// What to do with a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Take it: nobody holds it, or its holder was not heard of for too long.
    Take,
    /// Renew it.
    Renew,
    /// Stand by, until then at the latest.
    Wait(Instant),
}

/// What is known of a Lease.
#[derive(Debug)]
pub(super) struct Sight {
    version: Option<u64>,
    holder: String,
    /// What a renewal changes.
    renewed: Option<String>,
    believed: Duration,
    since: Instant,
    asked: Option<(String, Instant)>,
}

impl Sight {
    pub(super) fn new() -> Self {
        Self {
            version: None,
            holder: String::new(),
            renewed: None,
            believed: super::ALIVE_WITHIN,
            since: Instant::now(),
            asked: None,
        }
    }

    /// Looks at a Lease. One that is older than what is known says nothing.
    pub(super) fn see(&mut self, lease: Option<&Lease>) {
        let now = Instant::now();
        let version = lease
            .and_then(|lease| lease.metadata.resource_version.as_ref())
            .and_then(|version| version.parse().ok());
        if version.is_some() && version < self.version {
            return;
        }
        self.version = version;
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        let holder = spec.and_then(|spec| spec.holder_identity.clone());
        let holder = holder.unwrap_or_default();
        let renewed = spec.and_then(|spec| spec.renew_time.as_ref().map(|time| time.0.to_string()));
        if holder != self.holder || renewed != self.renewed {
            self.since = now;
        }
        let seconds = spec.and_then(|spec| u64::try_from(spec.lease_duration_seconds?).ok());
        self.believed = seconds.map_or(super::ALIVE_WITHIN, Duration::from_secs);
        (self.holder, self.renewed) = (holder, renewed);
        let asked = lease.and_then(|lease| lease.metadata.annotations.as_ref()?.get(ASKED_BY).cloned());
        self.asked = asked.map(|asked| match self.asked.take() {
            Some((known, since)) if known == asked => (known, since),
            Some(_) | None => (asked, now),
        });
    }

    /// Who holds it and was heard of lately.
    pub(super) fn holder(&self) -> Option<&str> {
        let alive = !self.holder.is_empty() && Instant::now() < self.since + self.believed;
        alive.then_some(self.holder.as_str())
    }

    /// Who asked for it within so long.
    pub(super) fn asked_by(&self, within: Duration) -> Option<&str> {
        let (asked, since) = self.asked.as_ref()?;
        let who = asked.rsplit_once(' ').map_or(asked.as_str(), |(who, _)| who);
        (since.elapsed() < within).then_some(who)
    }

    /// What to do.
    pub(super) fn step(&self, me: &str) -> Act {
        if self.holder == me {
            Act::Renew
        } else if self.holder().is_some() {
            Act::Wait(self.since + self.believed)
        } else {
            Act::Take
        }
    }
}

/// In how many shards the work is split, as a Lease of the usual name says.
pub(in crate::cluster) fn shards(lease: Option<&Lease>) -> u32 {
    let written = lease.and_then(|lease| lease.metadata.annotations.as_ref()?.get(SHARDS));
    let shards = written.and_then(|text| text.parse().ok()).unwrap_or(1);
    shards.clamp(1, crate::cluster::share::MOST_SHARDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lease(version: u32, holder: &str, renewed: &str) -> Lease {
        serde_json::from_value(json!({
            "metadata": {"resourceVersion": version.to_string()},
            "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 12},
        }))
        .unwrap()
    }

    const NINE: &str = "2026-03-02T09:00:00.000000Z";
    const LONG_AGO: &str = "2001-03-02T09:00:00.000000Z";

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_taken_only_from_nobody_or_from_the_silent() {
        let mut sight = Sight::new();
        assert_eq!(sight.step("me"), Act::Take, "there is none");
        sight.see(Some(&lease(1, "other", NINE)));
        let end = Instant::now() + Duration::from_secs(12);
        assert_eq!(sight.step("me"), Act::Wait(end));
        tokio::time::advance(Duration::from_millis(11_999)).await;
        assert_eq!(sight.step("me"), Act::Wait(end));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(sight.step("me"), Act::Take, "not heard of for 12 s");
        sight.see(Some(&lease(2, "me", NINE)));
        assert_eq!(sight.step("me"), Act::Renew);
        sight.see(Some(&lease(3, "", NINE)));
        assert_eq!(sight.step("me"), Act::Take, "given back");
    }

    #[tokio::test(start_paused = true)]
    async fn no_other_machines_clock_is_believed() {
        let mut sight = Sight::new();
        for n in 0..20 {
            // A holder whose clock is years behind renews all the same.
            let renewed = LONG_AGO.replace("00.000000", &format!("{:02}.000000", n * 3 % 60));
            sight.see(Some(&lease(n + 1, "other", &renewed)));
            assert!(matches!(sight.step("me"), Act::Wait(_)), "{n}");
            tokio::time::advance(Duration::from_secs(3)).await;
        }
        // One whose clock is years ahead and that is dead is not waited for any longer.
        sight.see(Some(&lease(90, "other", "2099-03-02T09:00:00.000000Z")));
        tokio::time::advance(Duration::from_secs(12)).await;
        assert_eq!(sight.step("me"), Act::Take);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_is_no_sign_of_life_of_the_holder_and_old_news_are_none() {
        let mut sight = Sight::new();
        sight.see(Some(&lease(5, "other", NINE)));
        tokio::time::advance(Duration::from_secs(11)).await;
        let mut asked = lease(6, "other", NINE);
        asked.metadata.annotations = Some([(ASKED_BY.to_owned(), "third 1".to_owned())].into());
        sight.see(Some(&asked));
        assert_eq!(sight.asked_by(Duration::from_secs(3)), Some("third"));
        sight.see(Some(&lease(4, "before", LONG_AGO)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(sight.step("me"), Act::Take);
        tokio::time::advance(Duration::from_secs(2)).await;
        sight.see(Some(&asked));
        assert_eq!(
            sight.asked_by(Duration::from_secs(3)),
            None,
            "asked, and not again since"
        );
    }
}
