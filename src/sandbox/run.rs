//! Plays a story: a store, a clock, tenants, the shipped daemon, and an onlooker.

use super::apiserver::{Store, accept_routes, roll_out_deployments};
use super::exporter;
use super::host::Host;
use super::loopback::Loopback;
use super::observer::{Observer, clock_rollbacks};
use super::progress::Frame;
use super::prometheus::Prometheus;
use super::report::{Report, ended, missing};
use super::screen::{Form, Screen};
use super::script::{Script, Stage};
use super::share::Shares;
use super::story::Story;
use super::tenants::{Tenant, Tenants};
use crate::clock::Clock;
use crate::cluster::crd;
use crate::metrics::{PrometheusSettings, PrometheusSource, Source};
use crate::rollout::spec::{GradualRollout, Preset};
use crate::routing::Home;
use anyhow::Context as _;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// When virtual time begins: a Monday, ten o'clock in the morning for the tenants.
const EPOCH: &str = "2026-01-05T02:00:00Z";
/// How long things take.
struct Tempo {
    /// From one sample of the simulated gateway to the next.
    sample: Duration,
    /// For a Deployment to replace its pods.
    roll_out: Duration,
    /// Until a story in which everybody came to rest gives up on what is still missing.
    grace: Duration,
}
const VIRTUAL: Tempo = Tempo {
    sample: Duration::from_secs(10),
    roll_out: Duration::from_secs(30),
    grace: Duration::from_secs(900),
};
const REAL: Tempo = Tempo {
    sample: Duration::from_millis(250),
    roll_out: Duration::from_secs(2),
    grace: Duration::from_secs(20),
};
/// How often a real Prometheus scrapes the simulated gateway.
const SCRAPE: Duration = Duration::from_secs(1);
/// How many changes of a resource are remembered for onlookers who come late.
const CHANGES_KEPT: usize = 16;
/// Requests per second of the components, by turns.
const RATES: [f64; 6] = [80.0, 50.0, 120.0, 40.0, 300.0, 150.0];

/// How a story is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of the traffic.
    pub seed: u64,
    /// How many times faster than the wall; `None`: as fast as it goes.
    pub speed: Option<f64>,
    /// Whether kubectl is let in.
    pub loopback: bool,
    /// Whether to stay up at real speed when the story is over.
    pub keep: bool,
    /// How it is shown.
    pub form: Form,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            speed: None,
            loopback: false,
            keep: false,
            form: Form::Silent,
        }
    }
}

/// Plays a story in virtual time and says how it ended. Blocks this thread, which must not be a runtime's.
pub fn play(story: &Story, options: &Options, out: Box<dyn Write + Send>) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .context("unable to start the story's runtime")?;
    let epoch: Timestamp = EPOCH.parse().context("the story's beginning is no time")?;
    runtime.block_on(async {
        let mut world = World::build(story, options.seed, Clock::simulated(epoch))?;
        let source = Source::Simulated(world.tenants.clone());
        let door = options.loopback.then(|| world.open_door()).transpose()?;
        world
            .tell(story, options, source, door, Screen::new(options.form, out))
            .await
    })
}

/// Plays a story that fits into minutes at real time, judged by a real Prometheus. Blocks as [`play`] does.
pub fn play_for_real(story: &Story, options: &Options, out: Box<dyn Write + Send>) -> anyhow::Result<Report> {
    let program = super::prometheus::find()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("unable to start the story's runtime")?;
    runtime.block_on(async {
        let mut world = World::build(story, options.seed, Clock::System)?;
        let door = world.open_door()?;
        let prometheus = Prometheus::start(&program, door.exporter(), SCRAPE).await?;
        let settings = PrometheusSettings::at([prometheus.url()]);
        let source = PrometheusSource::new(&settings).context("unable to ask the Prometheus just started")?;
        let mut screen = Screen::new(options.form, out);
        screen.say(&format!("# Prometheus: {}", prometheus.url()))?;
        let source = Source::Prometheus(Arc::new(source));
        world.tell(story, options, source, Some(door), screen).await
    })
}

/// Everything but the daemon.
pub(super) struct World {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) tenants: Arc<Tenants>,
    pub(super) rollout: GradualRollout,
    shares: Shares,
    tempo: Tempo,
    interrupted: CancellationToken,
    began: Timestamp,
    wall: Timestamp,
    names: Vec<String>,
    namespace: String,
}

impl World {
    #[expect(clippy::similar_names, reason = "a story in a store")]
    pub(super) fn build(story: &Story, seed: u64, clock: Clock) -> anyhow::Result<Self> {
        let real = matches!(clock, Clock::System);
        let tempo = if real { REAL } else { VIRTUAL };
        let store = Store::new(clock.clone());
        // Statuses are large, and onlookers at most seconds behind.
        store.set_history(CHANGES_KEPT);
        store
            .register_crd(&crd::definition())
            .context("unable to serve the resource's definition")?;
        let rollout = story.plan.rollout()?;
        super::cluster::furnish(&store, &rollout).context("unable to furnish the simulated cluster")?;
        let namespace = rollout.metadata.namespace.clone().unwrap_or_default();
        let shares = Shares::new(
            store.clone(),
            &Home::of(&rollout, &namespace),
            &rollout.spec.components,
        );
        let names: Vec<String> = rollout.spec.components.iter().map(|c| c.name.clone()).collect();
        let tenants = rollout
            .spec
            .components
            .iter()
            .zip(RATES.iter().cycle())
            .map(|(component, rate)| Tenant {
                component: component.name.clone(),
                rate: rate * story.traffic,
                preset: component
                    .arms
                    .as_ref()
                    .map_or(Preset::IstioGateway, |arms| arms.canary.preset),
                moves: shares.moves(&component.name),
            })
            .collect();
        let began = clock.now();
        let told = shares.clone();
        // Scrapes and looks have nothing to do with each other: the newest sample is some seconds old.
        let first_scrape = began - tempo.sample.mul_f64(0.37);
        let tenants = Tenants::new(seed, first_scrape, tempo.sample, tenants, move |name| {
            told.of(name)
        });
        // At real time a story must end the same way whatever the hour.
        let tenants = if real { tenants.steady() } else { tenants };
        Ok(Self {
            store,
            clock,
            tenants: Arc::new(tenants),
            rollout,
            shares,
            tempo,
            interrupted: CancellationToken::new(),
            began,
            wall: Clock::System.now(),
            names,
            namespace,
        })
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().duration_since(self.began).unsigned_abs()
    }

    fn on_the_wall(&self) -> Duration {
        Clock::System.now().duration_since(self.wall).unsigned_abs()
    }

    /// Plays the story from its first line to its last.
    #[expect(clippy::similar_names, reason = "a story in a store")]
    pub(super) async fn tell(
        &mut self,
        story: &Story,
        options: &Options,
        source: Source,
        door: Option<Loopback>,
        mut screen: Screen,
    ) -> anyhow::Result<Report> {
        let interrupted = self.interrupted.clone();
        let mut helpers: JoinSet<()> = JoinSet::new();
        let took: Arc<Mutex<BTreeMap<String, i64>>> = Arc::default();
        helpers.spawn(roll_out_deployments(self.store.clone(), self.tempo.roll_out));
        helpers.spawn(accept_routes(self.store.clone()));
        helpers.spawn(super::person::oblige(self.store.clone()));
        helpers.spawn(clock_rollbacks(
            self.store.clone(),
            self.shares.clone(),
            self.tenants.clone(),
            self.names.clone(),
            matches!(self.clock, Clock::System),
            took.clone(),
        ));
        if let Some(door) = &door {
            screen.say(&format!("export KUBECONFIG={}", door.kubeconfig().display()))?;
            screen.say(&format!(
                "# the tenants' metrics: http://{}/metrics",
                door.exporter()
            ))?;
        }
        let name = self.rollout.metadata.name.clone().unwrap_or_default();
        let mut observer = Observer::new(self.store.clone(), &self.namespace, &name);
        self.store
            .put(story.plan.manifest()?)
            .context("the simulated cluster refused the rollout")?;
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let host = Host::start(store, source, clock, &self.namespace, story.persist);
        let mut stage = Stage {
            store: self.store.clone(),
            clock: self.clock.clone(),
            tenants: self.tenants.clone(),
            rollout: self.rollout.clone(),
            host,
            said: 0,
        };
        let mut script = Script::new(&story.acts, self.began);
        let mut rest: Option<Timestamp> = None;
        let unmet = loop {
            tokio::time::sleep(story.step).await;
            self.pace(options.speed);
            if observer.look() {
                screen.show(&self.frame(story, &observer), &observer, false)?;
            }
            script.step(&observer, &mut stage).await?;
            if let Some(error) = stage.host.died() {
                return Err(error);
            }
            let now = self.clock.now();
            let resting =
                !observer.rows().is_empty() && observer.rows().iter().all(|row| row.state.is_terminal());
            let since = resting.then(|| *rest.get_or_insert(now));
            let mut unmet = Vec::new();
            if resting && script.done() {
                unmet = missing(story, &self.names, &observer, &self.shares);
                if unmet.is_empty() {
                    break unmet;
                }
            } else if !resting {
                rest = None;
            }
            let waited =
                since.is_some_and(|since| now.duration_since(since).unsigned_abs() >= self.tempo.grace);
            let late = self.elapsed() >= story.deadline;
            if waited || late || interrupted.is_cancelled() {
                unmet.extend(script.next().map(|next| format!("this never happened: {next}")));
                if interrupted.is_cancelled() {
                    unmet.push("it was interrupted".to_owned());
                } else if late {
                    unmet.extend(missing(story, &self.names, &observer, &self.shares));
                    unmet.push("its time was up".to_owned());
                }
                break unmet;
            }
        };
        let took = took.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let report = Report {
            story: story.name.to_owned(),
            expected: story.expected.to_owned(),
            reached: unmet.is_empty(),
            virtual_seconds: self.elapsed().as_secs_f64(),
            wall_seconds: self.on_the_wall().as_secs_f64(),
            components: ended(observer.rows(), &took),
            missing: unmet,
        };
        screen.show(&self.frame(story, &observer), &observer, true)?;
        screen.end(&report)?;
        if let Some(door) = door.filter(|_| options.keep && !interrupted.is_cancelled()) {
            self.stay(&door, &mut screen, &mut stage, &interrupted).await?;
        }
        Ok(report)
    }

    /// Goes on at real speed until somebody interrupts.
    async fn stay(
        &self,
        door: &Loopback,
        screen: &mut Screen,
        stage: &mut Stage,
        interrupted: &CancellationToken,
    ) -> anyhow::Result<()> {
        screen.say(&format!(
            "staying up; in another terminal: KUBECONFIG={} kubectl get gradualrollouts -A -w (end with Ctrl-C)",
            door.kubeconfig().display()
        ))?;
        if matches!(self.clock, Clock::Simulated { .. }) {
            tokio::time::resume();
        }
        while !interrupted.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if let Some(error) = stage.host.died() {
                return Err(error);
            }
            // Tells the other thread the time.
            let _ = self.store.now();
        }
        Ok(())
    }

    fn open_door(&self) -> anyhow::Result<Loopback> {
        let (rollout, tenants, store) = (self.rollout.clone(), self.tenants.clone(), self.store.clone());
        let text = move || exporter::text(&rollout, &tenants, store.now());
        Loopback::open(self.store.clone(), Arc::new(text), self.interrupted.clone())
    }

    fn frame<'a>(&self, story: &Story, observer: &'a Observer) -> Frame<'a> {
        Frame {
            title: format!("{}: {}", story.name, story.title),
            now: self.clock.now(),
            elapsed: self.elapsed(),
            wall: self.on_the_wall(),
            rows: observer.rows(),
        }
    }

    /// Holds the story back when it is ahead of the wall. Blocks this thread on purpose: sleeping on its clock would
    /// only move the clock.
    fn pace(&self, speed: Option<f64>) {
        let Some(speed) = speed.filter(|speed| *speed > 0.0 && matches!(self.clock, Clock::Simulated { .. }))
        else {
            return;
        };
        let due = Duration::try_from_secs_f64(self.elapsed().as_secs_f64() / speed).unwrap_or_default();
        while let Some(ahead) = due.checked_sub(self.on_the_wall()).filter(|a| !a.is_zero())
            && !self.interrupted.is_cancelled()
        {
            // Short enough that whoever interrupts is not kept waiting.
            std::thread::sleep(ahead.min(Duration::from_millis(100)));
        }
    }
}
