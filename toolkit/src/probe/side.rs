//! The two data planes, and how fast they are asked.

use super::ask::Outcome;
use super::hung::{GivenUp, Silence};
use crate::trouble::Trouble;
use gradual_rollout_migration::model::Scheme;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until, timeout};

/// One data plane.
#[derive(Clone, Debug)]
pub(super) struct Side {
    /// As it is called in reports.
    pub name: &'static str,
    http: SocketAddr,
    https: SocketAddr,
    /// All addresses of the name: which of them comes first may change from one look to the next.
    all: Vec<IpAddr>,
    silence: Arc<Silence>,
    /// Of both sides.
    pub given_up: Arc<GivenUp>,
}

impl Side {
    /// The one at `HOST[:HTTP[:HTTPS]]`; an IPv6 address in brackets.
    pub(super) async fn at(name: &'static str, typed: &str) -> Result<Self, Trouble> {
        let wrong = || {
            Trouble::Usage(format!(
                "--{name} {typed:?} is not HOST, HOST:HTTP or HOST:HTTP:HTTPS"
            ))
        };
        let (host, ports) = match typed.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(wrong)?,
            None => typed.split_at(typed.find(':').unwrap_or(typed.len())),
        };
        let mut ports = ports.split(':').skip(1).map(str::parse::<u16>);
        let http = ports.next().transpose().map_err(|_| wrong())?.unwrap_or(80);
        let https = ports.next().transpose().map_err(|_| wrong())?.unwrap_or(443);
        if host.is_empty() || ports.next().is_some() {
            return Err(wrong());
        }
        let found: Vec<SocketAddr> = lookup_host((host, http))
            .await
            .map_err(|error| Trouble::Unreachable(format!("unable to look up {host} for --{name}: {error}")))?
            .collect();
        let http = *found
            .first()
            .ok_or_else(|| Trouble::Unreachable(format!("{host} of --{name} has no address")))?;
        Ok(Self {
            name,
            http,
            https: SocketAddr::new(http.ip(), https),
            all: found.iter().map(SocketAddr::ip).collect(),
            silence: Arc::default(),
            given_up: Arc::default(),
        })
    }

    /// The same, which is asked no longer than the other one is.
    pub(super) fn beside(mut self, other: &Self) -> Self {
        self.given_up = Arc::clone(&other.given_up);
        self
    }

    /// Takes note of what became of a question. True where it is time to look whether the side lives at all.
    pub(super) fn silent_after(&self, outcome: &Outcome) -> bool {
        self.silence.after(outcome)
    }

    /// Whether it lives is known: where it does not, nothing is asked any more.
    pub(super) fn looked(&self, lives: bool) {
        if lives {
            self.silence.broken();
        } else {
            self.given_up.up(self.name);
        }
    }

    /// Where a scheme is spoken.
    pub(super) fn address(&self, scheme: Scheme) -> SocketAddr {
        match scheme {
            Scheme::Http => self.http,
            Scheme::Https => self.https,
        }
    }

    /// Whether one of the addresses is the other's.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let ports = self.http.port() == other.http.port() || self.https.port() == other.https.port();
        ports && self.all.iter().any(|ip| other.all.contains(ip))
    }

    /// That somebody listens at all: else everything would differ for one reason.
    pub(super) async fn reach(&self, limit: Duration) -> Result<(), Trouble> {
        let mut why = String::new();
        for scheme in [Scheme::Http, Scheme::Https] {
            let address = self.address(scheme);
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => why = format!("{address}: {error}"),
                Err(_) => why = format!("{address}: no answer within {} s", limit.as_secs()),
            }
        }
        Err(Trouble::Unreachable(format!(
            "unable to reach {}: {why}; name its address with --{}",
            self.name, self.name
        )))
    }
}

/// So many questions a second, and no more.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            every: Duration::from_secs(1) / rate.max(1),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the next turn. Turns that nobody took are not made up for.
    pub(super) async fn turn(&self) {
        let now = Instant::now();
        let mine = {
            let mut next = self
                .next
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let mine = (*next).max(now);
            *next = mine + self.every;
            mine
        };
        if mine > now {
            sleep_until(mine).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_read_with_and_without_ports() {
        let read = |typed: &'static str| async move {
            let side = Side::at("nginx", typed).await.unwrap();
            (
                side.address(Scheme::Http).to_string(),
                side.address(Scheme::Https).to_string(),
            )
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(read("127.0.0.1").await, pair("127.0.0.1:80", "127.0.0.1:443"));
        assert_eq!(read("127.0.0.1:1:2").await, pair("127.0.0.1:1", "127.0.0.1:2"));
        assert_eq!(read("[::1]:1").await, pair("[::1]:1", "[::1]:443"));
        for wrong in ["", ":80", "127.0.0.1:x", "127.0.0.1:1:2:3", "[::1"] {
            assert!(
                matches!(Side::at("nginx", wrong).await, Err(Trouble::Usage(_))),
                "{wrong}"
            );
        }
    }

    #[tokio::test]
    async fn sides_meet_where_they_share_an_address_and_a_port() {
        let side = |typed: &'static str| async move { Side::at("nginx", typed).await.unwrap() };
        let nginx = side("127.0.0.1:80:443").await;
        assert!(nginx.meets(&side("127.0.0.1").await));
        assert!(nginx.meets(&side("127.0.0.1:8080:443").await));
        assert!(!nginx.meets(&side("127.0.0.1:8080:8443").await));
        assert!(!nginx.meets(&side("127.0.0.2").await));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_and_idle_turns_are_not_made_up_for() {
        let (pace, began) = (Pace::new(100), Instant::now());
        for _ in 0..51 {
            pace.turn().await;
        }
        assert!(began.elapsed() >= Duration::from_millis(500));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let later = Instant::now();
        for _ in 0..51 {
            pace.turn().await;
        }
        assert!(later.elapsed() >= Duration::from_millis(500));
    }
}
