//! A side that hangs: connections come about, and nothing is ever answered over them. Asked to the end, it would take as
//! many time-outs as there are questions, and each of them says the same.

use super::ask::{Outcome, Question};
use super::code;
use super::hit::Hit;
use std::collections::BTreeSet;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// After so many time-outs in a row, without an answer between them, it is looked whether the side lives at all.
pub(super) const IN_A_ROW: usize = 20;

/// How many questions a side has not answered since it last answered one.
#[derive(Debug, Default)]
pub(super) struct Silence(AtomicUsize);

impl Silence {
    /// Takes note of what became of a question. True for the one with which it is time to look whether the side lives.
    pub(super) fn after(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Answered(_) => self.broken(),
            Outcome::Late => return self.0.fetch_add(1, Ordering::Relaxed) + 1 == IN_A_ROW,
            // A port where nobody listens tells nothing of the other one, and costs no time.
            Outcome::Refused(_) | Outcome::Unaskable | Outcome::Unasked => {}
        }
        false
    }

    /// It lives.
    pub(super) fn broken(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Whether a side was given up, and what was not asked since: one of the two is enough, as answers of the other alone
/// compare with nothing.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    side: OnceLock<&'static str>,
    told: OnceLock<()>,
    unasked: Mutex<BTreeSet<(String, String)>>,
}

impl GivenUp {
    /// A side is asked no more.
    pub(super) fn up(&self, side: &'static str) {
        let _ = self.side.set(side);
    }

    pub(super) fn is_up(&self) -> bool {
        self.side.get().is_some()
    }

    /// Whether a question is not to be asked any more. Then it is among those that were not.
    pub(super) fn keeps(&self, question: &Question) -> bool {
        if self.is_up() {
            self.note(&question.host, question.line());
        }
        self.is_up()
    }

    /// Something was not asked.
    pub(super) fn note(&self, host: &str, line: String) {
        let mut unasked = self.unasked.lock().unwrap_or_else(PoisonError::into_inner);
        unasked.insert((host.to_owned(), line));
    }

    /// What a suite did not ask, each a finding, and once which side is to blame.
    pub(super) fn hits(&self, suite: &'static str) -> Vec<Hit> {
        let Some(side) = self.side.get() else {
            return Vec::new();
        };
        let mut unasked = self.unasked.lock().unwrap_or_else(PoisonError::into_inner);
        let unasked = mem::take(&mut *unasked).into_iter();
        let not = "not asked";
        let mut hits: Vec<Hit> = unasked
            .map(|(host, line)| Hit::new(suite, code::UNASKED, &host, line, not, not))
            .collect();
        if self.told.set(()).is_ok() {
            let what = format!("{IN_A_ROW} questions in a row, and one for a host that nobody has");
            let (late, rest) = ("nothing in time", "not asked any more");
            let (name, nginx, istio) = match *side {
                "nginx" => ("nginx", late, rest),
                _ => ("gateway", rest, late),
            };
            hits.push(Hit::new(suite, code::HUNG, name, what, nginx, istio));
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ask::Client;
    use crate::probe::side::Side;
    use crate::probe::tls;
    use gradual_rollout_migration::model::Scheme;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    /// Back ends that hang, behind an edge that hangs too or says itself that there is no such host. How many questions
    /// were put to it, and whether it was given up.
    async fn asked(edge_lives: bool, questions: usize) -> (usize, bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let mut head = [0; 512];
                    let read = stream.read(&mut head).await.unwrap_or_default();
                    let head = String::from_utf8_lossy(head.get(..read).unwrap_or_default()).into_owned();
                    if edge_lives && head.contains("nobody.invalid") {
                        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                    std::future::pending::<()>().await;
                });
            }
        });
        let side = Side::at("istio", &format!("127.0.0.1:{port}:{port}"))
            .await
            .unwrap();
        let tls = tls::client(b"http/1.1").unwrap();
        let question = Question::get(Scheme::Http, "a.com", "/");
        let ask = || async {
            let mut client = Client::new(&side, &tls, false, Duration::from_secs(2));
            client.ask(&question).await
        };
        let all = futures::future::join_all((0..IN_A_ROW).map(|_| ask())).await;
        let late = all.iter().filter(|one| matches!(one, Outcome::Late)).count();
        assert_eq!(late, IN_A_ROW);
        let more = futures::future::join_all((IN_A_ROW..questions).map(|_| ask())).await;
        let unasked = more.iter().filter(|one| matches!(one, Outcome::Unasked)).count();
        (questions - unasked, side.given_up.is_up())
    }

    #[tokio::test]
    async fn a_side_that_hangs_is_given_up_and_back_ends_that_hang_behind_one_that_lives_are_not_its_fault() {
        assert_eq!(asked(false, IN_A_ROW + 10).await, (IN_A_ROW, true));
        assert_eq!(asked(true, IN_A_ROW + 10).await, (IN_A_ROW + 10, false));
    }

    #[test]
    fn an_answer_begins_the_count_anew_and_a_refusal_does_not() {
        let silence = Silence::default();
        let refused = Outcome::Refused("nobody listens".to_owned());
        for _ in 1..IN_A_ROW {
            assert!(!silence.after(&Outcome::Late) && !silence.after(&refused));
        }
        silence.broken();
        for _ in 1..IN_A_ROW {
            assert!(!silence.after(&Outcome::Late));
        }
        assert!(silence.after(&Outcome::Late));
        assert!(!silence.after(&Outcome::Late), "it is looked once");
    }
}
