//! The walk-through of docs/migration.md: every command of it is run, and says what the page says.

mod admission;
mod cluster;
mod page;

use crate::probe::edge::Edge;
use crate::rights;
use crate::support::migrate_to;
use crate::wire::{Granted, Right, Wire};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Store, roll_out_deployments};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use page::{Line, Page};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Where the page says that the data planes are.
const NGINX: &str = "192.0.2.10";
const ISTIO: &str = "192.0.2.1";
/// Who types, as the API server knows them.
const WHO: &str = "ada";
/// The hash of a plan as the page has it: certificates, and so the plan, are others each time.
const PLAN: &str = "3f0c9a5b1d2e4f60";
/// The folder of the page's backup.
const FOLDER: &str = "before-istio";

/// A terminal: both streams in the order in which they were written.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Somebody who types.
struct Walk {
    store: Store,
    clock: Clock,
    wire: Wire,
    granted: Option<Granted>,
    folder: TempDir,
    nginx: String,
    istio: String,
    /// They serve as long as somebody types.
    _sides: [Edge; 2],
    /// The hash of the last plan that was shown.
    plan: Mutex<String>,
}

impl Walk {
    /// Types a command, and says what the screen says then.
    async fn typed(&self, line: &str) -> String {
        let plan = self.plan.lock().unwrap().clone();
        let folder = self.folder.path().join(FOLDER);
        let folder = folder.to_str().unwrap();
        let words: Vec<&str> = line
            .split_whitespace()
            .map(|word| match word {
                NGINX => self.nginx.as_str(),
                ISTIO => self.istio.as_str(),
                FOLDER => folder,
                PLAN => plan.as_str(),
                word => word,
            })
            .collect();
        let screen = Screen::default();
        let client = self.wire.client(&self.store, self.granted.clone());
        let client = admission::admitting(client, &self.store, WHO);
        let probes = words.first() == Some(&"probe");
        if probes {
            // Sockets know no virtual time.
            tokio::time::resume();
        }
        let (mut out, mut err) = (screen.clone(), screen.clone());
        let end = tokio::select! {
            end = migrate_to(client, &self.clock, &words, &mut out, &mut err) => end,
            () = roll_out_deployments(self.store.clone(), Duration::from_secs(5)) => unreachable!(),
        };
        if probes {
            tokio::time::pause();
        }
        let said = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
        let said = plain(&said.replace(folder, FOLDER));
        let plan = said
            .lines()
            .find_map(|line| line.strip_prefix("plan ")?.split(':').next());
        let said = match plan {
            Some(plan) => {
                plan.clone_into(&mut self.plan.lock().unwrap());
                said.replace(plan, PLAN)
            }
            None => said,
        };
        format!("$ gradual-rollout migrate {line}\n{said}{}", ended(&end))
    }

    /// Nothing takes time that a page could show.
    async fn begin_a_minute(&self) {
        let second = self.clock.now().as_second();
        let next = jiff::Timestamp::from_second(second - second.rem_euclid(60) + 60).unwrap();
        tokio::time::sleep(self.clock.until(next)).await;
    }
}

/// As a terminal shows how a command ended.
fn ended(end: &Result<End, Trouble>) -> String {
    let (code, told) = match end {
        Ok(End::Done) => return String::new(),
        Ok(End::Refused) => (3, None),
        Ok(End::Partly) => (4, None),
        Err(trouble) => {
            let code = match trouble {
                Trouble::Usage(_) => 64,
                Trouble::Refused(_) => 3,
                Trouble::Unreachable(_) => 69,
                Trouble::TimedOut(_) => 75,
                Trouble::Output(_) | Trouble::Internal(_) => 1,
            };
            (code, Some(trouble.to_string()))
        }
    };
    let told = told.map_or_else(String::new, |told| format!("error: {told}\n"));
    format!("{told}(exit code {code})\n")
}

/// Without what is another on each machine: why a name is not known there.
fn plain(said: &str) -> String {
    let mut all = String::new();
    for line in said.lines() {
        let line = match line.split_once(".example.com leads: ") {
            Some((before, _)) => format!("{before}.example.com leads: Name or service not known"),
            None => line.to_owned(),
        };
        all.push_str(line.trim_end());
        all.push('\n');
    }
    all
}

/// Walks the whole way, and says what each block of the page should be.
async fn walk(page: &Page, walk: &Walk) -> Vec<String> {
    let mut blocks = Vec::new();
    for block in &page.blocks {
        let mut said = String::new();
        for line in page.lines(block) {
            let told = match line {
                Line::Hours(hours) => {
                    tokio::time::sleep(Duration::from_secs(hours * 3600)).await;
                    format!("# {hours} hours later\n")
                }
                Line::Typed(line) => {
                    walk.begin_a_minute().await;
                    walk.typed(&line).await
                }
            };
            said.push_str(&told);
        }
        println!("{said}");
        blocks.push(said);
    }
    blocks
}

/// Somebody with these rights, as they know who ask what they may.
async fn somebody(granted: Option<Granted>) -> Walk {
    let (store, clock) = cluster::before();
    let wire = Wire::default();
    wire.review(&store, granted.clone());
    let (nginx, istio) = (cluster::data_plane().await, cluster::data_plane().await);
    let (here, there) = (nginx.address(), istio.address());
    Walk {
        store,
        clock,
        wire,
        granted,
        folder: tempfile::tempdir().unwrap(),
        nginx: here,
        istio: there,
        _sides: [nginx, istio],
        plan: Mutex::default(),
    }
}

/// The rights that the walk-through uses, and those that its preflight demands.
pub(crate) async fn rights() -> BTreeSet<Right> {
    let somebody = somebody(None).await;
    walk(&Page::read(), &somebody).await;
    somebody.wire.asked()
}

/// What somebody with these rights asks after a migration has begun, without writing anything.
pub(crate) async fn reads(granted: Granted) -> (BTreeSet<Right>, Vec<String>) {
    let mut somebody = somebody(None).await;
    somebody.typed("apply --all").await;
    somebody.wire = Wire::default();
    somebody.granted = Some(granted);
    let mut said = Vec::new();
    for line in [
        "preflight",
        "status",
        "validate",
        "probe --no-mark --nginx 192.0.2.10 --istio 192.0.2.1",
    ] {
        said.push(somebody.typed(line).await);
    }
    (somebody.wire.asked(), said)
}

#[tokio::test(start_paused = true)]
async fn the_walk_through_says_what_the_page_says_and_leaves_every_ingress_as_it_was() {
    let page = Page::read();
    let roles = rights::roles();
    let somebody = somebody(Some(roles.reader.and(&roles.writer))).await;
    let before = cluster::state(&somebody.store);
    let said = walk(&page, &somebody).await;
    assert_eq!(cluster::state(&somebody.store), before);
    page.hold(&said);
}
