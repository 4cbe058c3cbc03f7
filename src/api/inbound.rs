//! What comes in over HTTP and changes something: who may, how much at a time, and how it is written on a rollout.
//!
//! Whichever daemon is asked writes the command's annotation with its own connection, leading or not: from there on
//! it is a command like every other.

use super::answer::Refusal;
use super::mapping::AlertRoute;
use crate::clock::Clock;
use crate::cluster::by_hand::{ByHand, Error};
use crate::cluster::rollouts::RawRollout;
use crate::rollout::command::{Command, Verb, Wish};
use crate::rollout::status::heard_as;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The field manager of what is written for others over HTTP.
pub const FIELD_MANAGER: &str = "gradual-rollout-api";
/// Another header than `Authorization` for the shared secret.
const SECRET_HEADER: &str = "x-rollout-token";
/// A shorter secret is none.
const SHORTEST_SECRET: usize = 16;
/// Requests of one kind that are worked at the same time: each waits for the API server for some milliseconds.
const AT_ONCE: usize = 16;
/// How long a request's body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What the operator allows to come in.
#[derive(Clone, Debug, Default)]
pub struct InboundSettings {
    /// The file with the secret that hooks' callers share, read anew for each call; `None`: no hooks.
    pub secret_file: Option<PathBuf>,
    /// Alerts that are told by their labels whom they are about; the first that matches counts.
    pub alerts: Vec<AlertRoute>,
    /// Whether an alert's labels `namespace`, `rollout` and `component` say whom it is about, where no route matches.
    pub labels: bool,
    /// Whether commands come in by REST, with a token of Kubernetes'.
    pub commands: bool,
    /// Namespaces whose rollouts this daemon looks after; empty: all.
    pub namespaces: Vec<String>,
}

/// The way in. Cheap to clone.
#[derive(Clone)]
pub struct Inbound(Arc<Way>);

struct Way {
    settings: InboundSettings,
    hand: ByHand,
    clock: Clock,
    /// Whoever is not let in takes no room from whoever is.
    hooks: Semaphore,
    commands: Semaphore,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// The command stands on this rollout now.
    Written(String),
    /// The same command was given before, to this rollout.
    Known(String),
}

/// Why nothing was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// There is no such rollout or component.
    Unknown(String),
    /// It is no command, or may not be given; the same again is no use.
    Refused(String),
    /// It may be of use to try again.
    Unavailable(String),
}

/// What is to be delivered.
pub(super) struct Delivery<'a> {
    pub(super) namespace: &'a str,
    /// `None`: the one in the namespace that has the components.
    pub(super) rollout: Option<&'a str>,
    pub(super) verb: Verb,
    pub(super) id: String,
    pub(super) wish: Wish,
}

impl Inbound {
    /// A way in over this connection.
    pub fn new(settings: InboundSettings, hand: ByHand, clock: Clock) -> Self {
        Self(Arc::new(Way {
            settings,
            hand: hand.writing_as(FIELD_MANAGER),
            clock,
            hooks: Semaphore::new(AT_ONCE),
            commands: Semaphore::new(AT_ONCE),
        }))
    }

    pub(super) fn settings(&self) -> &InboundSettings {
        &self.0.settings
    }

    pub(super) fn hand(&self) -> &ByHand {
        &self.0.hand
    }

    /// Lets a hook's caller in who knows the secret, and reads what they say, at most so many bytes.
    pub(super) async fn hook(
        &self,
        request: Request,
        most: usize,
    ) -> Result<(Bytes, SemaphorePermit<'_>), Refusal> {
        let Some(file) = &self.0.settings.secret_file else {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "hooks are off: the daemon's settings name no hooks_in.secret_file",
            ));
        };
        let secret = read_secret(file).await?;
        if !given(request.headers()).is_some_and(|given| same(given, secret.as_bytes())) {
            return Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "who calls a hook shows the shared secret: `Authorization: Bearer SECRET` or `X-Rollout-Token: SECRET`",
            ));
        }
        let permit = self.0.hooks.try_acquire().map_err(|_| busy())?;
        Ok((body(request, most).await?, permit))
    }

    /// Takes a place among the commands that are worked.
    pub(super) fn command(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.0.commands.try_acquire().map_err(|_| busy())
    }

    /// An id of now.
    pub(super) fn fresh_id(&self) -> String {
        let millis = u64::try_from(self.0.clock.now().as_millisecond()).unwrap_or_default();
        ulid::Ulid::from_parts(millis, ulid::Ulid::generate().random()).to_string()
    }

    /// An id that the same `what` of the same time always has.
    pub(super) fn id_of(at: jiff::Timestamp, what: &[&str]) -> String {
        let random = hash(what)
            .iter()
            .take(10)
            .fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
        let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
        ulid::Ulid::from_parts(millis, random).to_string()
    }

    /// An id that the same `what` always has, and that says nothing of a time.
    pub(super) fn own_id(what: &[&str]) -> String {
        let hash = hash(what);
        hash.iter().take(20).fold("c".to_owned(), |mut id, byte| {
            // Into a String it cannot fail.
            let _ = write!(id, "{byte:02x}");
            id
        })
    }

    /// Writes a command on the rollout that it is for, unless it was given before.
    pub(super) async fn deliver(&self, what: Delivery<'_>) -> Result<Delivered, Undelivered> {
        let (ns, unknown) = (what.namespace, Undelivered::Unknown);
        if !is_name(ns) || what.rollout.is_some_and(|name| !is_name(name)) {
            let rollout = what.rollout.unwrap_or_default();
            return Err(unknown(format!("{ns:?}/{rollout:?} names no rollout")));
        }
        let looked_after = &self.0.settings.namespaces;
        if !looked_after.is_empty() && !looked_after.iter().any(|known| known == ns) {
            return Err(unknown(format!(
                "this daemon does not look after the namespace {ns}"
            )));
        }
        if what.rollout.is_none() && what.wish.components.iter().any(|name| name == "*") {
            // One that is alone today need not be tomorrow.
            let message = "* is all of a rollout: name the rollout, too".to_owned();
            return Err(Undelivered::Refused(message));
        }
        let found = match what.rollout {
            Some(name) => vec![self.0.hand.raw(ns, name).await.map_err(undelivered)?],
            None => self.0.hand.raw_all(ns).await.map_err(undelivered)?,
        };
        let names = what.wish.components.clone();
        let has = |raw: &&RawRollout| {
            names
                .iter()
                .all(|name| name == "*" || components(raw).any(|c| c == name))
        };
        let having: Vec<&RawRollout> = found.iter().filter(has).collect();
        let rollout = match having.as_slice() {
            [one] => *one,
            [] => {
                let place = what
                    .rollout
                    .map_or_else(|| format!("no rollout in {ns}"), |name| format!("{ns}/{name}"));
                return Err(unknown(format!(
                    "{place}: there is no component {}",
                    names.join(", ")
                )));
            }
            several => {
                let all: Vec<&str> = several.iter().map(|raw| raw.name.as_str()).collect();
                let message = format!(
                    "{} is in {}: name the rollout, too",
                    names.join(", "),
                    all.join(", ")
                );
                return Err(Undelivered::Refused(message));
            }
        };
        let command = Command {
            id: what.id,
            verb: what.verb,
            wish: what.wish,
        };
        let place = format!("{ns}/{}", rollout.name);
        let done = rollout
            .status
            .pointer("/commands")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut done = done.filter_map(|c| c.get("id")?.as_str());
        let heard = command.wish.automatic && {
            let heard_as = heard_as(&command.id);
            let heard = rollout.status.pointer("/heard").and_then(Value::as_array);
            heard.into_iter().flatten().any(|one| *one == heard_as)
        };
        if rollout.annotations.contains_key(&command.key()) || done.any(|id| id == command.id) || heard {
            return Ok(Delivered::Known(place));
        }
        // What the daemon would refuse is refused here, where somebody is listening.
        if let Some(Err(error)) = Command::parse(&command.key(), &command.value()) {
            return Err(Undelivered::Refused(error.message));
        }
        self.0
            .hand
            .command(ns, &rollout.name, &command, false)
            .await
            .map_err(undelivered)?;
        tracing::info!(
            namespace = ns,
            rollout = rollout.name,
            verb = command.verb.word(),
            id = command.id,
            "command taken in"
        );
        Ok(Delivered::Written(place))
    }
}

fn hash(what: &[&str]) -> Vec<u8> {
    let mut text = Vec::new();
    for part in what {
        // With its length, so that no two lists of parts are one text.
        text.extend_from_slice(&part.len().to_le_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    digest(&SHA256, &text).as_ref().to_vec()
}

/// The names of a rollout's components, whether or not its spec can be used.
fn components(raw: &RawRollout) -> impl Iterator<Item = &str> {
    let spec = raw.spec.get("components").and_then(Value::as_array);
    let status = raw.status.get("components").and_then(Value::as_array);
    let all = spec.into_iter().flatten().chain(status.into_iter().flatten());
    all.filter_map(|c| c.get("name")?.as_str())
}

#[expect(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn undelivered(error: Error) -> Undelivered {
    match error {
        Error::NotFound(_) => Undelivered::Unknown(error.to_string()),
        Error::Refused { .. } => Undelivered::Refused(error.to_string()),
        Error::NoConnection(_)
        | Error::Unreachable { .. }
        | Error::Ill { .. }
        | Error::NoRoom { .. }
        | Error::NoDefinition
        | Error::Conflict(_)
        // The operator may grant it any moment, and an alert is worth to be sent again.
        | Error::Forbidden { .. } => Undelivered::Unavailable(error.to_string()),
    }
}

/// A request's body, in time and of no more than so many bytes.
pub(super) async fn body(request: Request, most: usize) -> Result<Bytes, Refusal> {
    let read = axum::body::to_bytes(request.into_body(), most);
    match tokio::time::timeout(BODY_WITHIN, read).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is not read: it broke off, or has more than {most} bytes"),
        )),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body did not arrive within {}s", BODY_WITHIN.as_secs()),
        )),
    }
}

fn busy() -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("{AT_ONCE} requests are worked already: try again in a second"),
    )
}

async fn read_secret(file: &Path) -> Result<String, Refusal> {
    // Who asks is not told where the operator keeps secrets.
    let unusable = |why: String| {
        tracing::error!(file = %file.display(), why, "hooks_in.secret_file cannot be used; no hook is taken in");
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the daemon cannot read its hooks_in.secret_file: its log says why",
        )
    };
    let text = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| unusable(error.to_string()))?;
    let secret = text.trim();
    if secret.len() < SHORTEST_SECRET {
        return Err(unusable(format!("shorter than {SHORTEST_SECRET} bytes")));
    }
    Ok(secret.to_owned())
}

/// The secret that a caller shows.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    match headers.get(SECRET_HEADER) {
        Some(value) => Some(value.as_bytes()),
        None => bearer(headers),
    }
}

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Whether two secrets are the same, in a time that tells nothing of either: hashes are compared, so that their lengths
/// are the same.
fn same(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (digest(&SHA256, one), digest(&SHA256, other));
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
}

/// Whether it can name something in a URL of the API server: nothing else is ever put into one.
fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (1..=253).contains(&name.len())
        && name.chars().all(legal)
        && ends(name.chars().next())
        && ends(name.chars().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_go_into_urls() {
        for name in ["a", "shop-1", "a.b"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "..",
            "a/b",
            "a?x",
            "A",
            "../secrets",
            "a\n",
            "-a",
            &"a".repeat(254),
        ] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn the_same_alert_has_one_id_and_its_parts_are_not_run_together() {
        let at: jiff::Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        assert_eq!(Inbound::id_of(at, &["ab", "c"]), Inbound::id_of(at, &["ab", "c"]));
        assert_ne!(Inbound::id_of(at, &["ab", "c"]), Inbound::id_of(at, &["a", "bc"]));
        let id: ulid::Ulid = Inbound::id_of(at, &["x"]).parse().unwrap();
        assert_eq!(i64::try_from(id.timestamp_ms()).unwrap(), at.as_millisecond());
    }

    #[test]
    fn a_secret_is_known_by_all_of_it() {
        assert!(same(b"correct horse battery", b"correct horse battery"));
        assert!(!same(b"correct horse batter", b"correct horse battery"));
        assert!(!same(b"", b"correct horse battery"));
    }
}
