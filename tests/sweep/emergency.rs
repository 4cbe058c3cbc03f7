//! An emergency is a process too, and dies like one: before or after any of its calls. Nothing that it put back rises
//! again, whoever comes next; its wish, once written, is obeyed by the daemon that comes back; and run again, it does
//! the rest.

use crate::tale::plan;
use crate::wire::{Point, Side};
use crate::world::{World, component, virtual_service};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use gradual_rollout::sandbox::apiserver::write_kubeconfig;
use http::header::DATE;
use std::convert::Infallible;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

const NAMES: [&str; 3] = ["shop", "cart", "desk"];

/// How an emergency went.
struct Ran {
    /// `None` when it was killed.
    code: Option<i32>,
    /// Its calls, in words.
    log: Vec<String>,
    said: String,
}

/// The process, and what it said to the API server.
#[derive(Default)]
struct Run {
    log: Vec<String>,
    child: Option<Child>,
    dead: bool,
}

impl Run {
    fn die(&mut self) {
        self.dead = true;
        if let Some(child) = &mut self.child {
            child.kill().unwrap();
        }
    }
}

/// A call of the process: numbered, and cut off where it dies.
async fn call(run: Arc<Mutex<Run>>, point: Option<Point>, request: Request, next: Next) -> Response {
    let n = {
        let mut run = run.lock().unwrap();
        let n = run.log.len();
        run.log
            .push(format!("{} {}", request.method(), request.uri().path()));
        if point == Some((n, Side::Before)) {
            run.die();
        }
        if run.dead { None } else { Some(n) }
    };
    let Some(n) = n else {
        return std::future::pending().await;
    };
    let response = next.run(request).await;
    if point == Some((n, Side::After)) {
        run.lock().unwrap().die();
    }
    if run.lock().unwrap().dead {
        return cut();
    }
    response
}

/// An answer that nobody hears.
fn cut() -> Response {
    let nothing = futures::stream::pending::<Result<Bytes, Infallible>>();
    Response::new(Body::from_stream(nothing))
}

/// The program at real time, against a world whose own time stands still meanwhile.
fn emergency(world: &World, point: Option<Point>) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    write_kubeconfig(&kubeconfig, listener.local_addr().unwrap()).unwrap();
    let run = Arc::new(Mutex::new(Run::default()));
    let (close, closed) = tokio::sync::oneshot::channel::<()>();
    let server = serve(world, run.clone(), point, listener, closed);
    let mut child = Command::new(env!("CARGO_BIN_EXE_gradual-rollout"))
        .args(["emergency-rollback", "--reason", "x", "--force", "--verify", "0s"])
        .env_clear()
        .env("KUBECONFIG", &kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = child.stderr.take().unwrap();
    {
        let mut run = run.lock().unwrap();
        run.child = Some(child);
        // It may have come to its point before it was known here.
        if run.dead {
            run.die();
        }
    }
    let mut said = String::new();
    err.read_to_string(&mut said).unwrap();
    let mut child = run.lock().unwrap().child.take().unwrap();
    let code = child.wait().unwrap().code();
    drop(close);
    server.join().unwrap();
    let log = run.lock().unwrap().log.clone();
    Ran { code, log, said }
}

fn serve(
    world: &World,
    run: Arc<Mutex<Run>>,
    point: Option<Point>,
    listener: std::net::TcpListener,
    closed: tokio::sync::oneshot::Receiver<()>,
) -> std::thread::JoinHandle<()> {
    // Read here: on the thread of the server it is another time.
    let (store, now) = (world.store.clone(), world.clock.now());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let app = store
                .router()
                .layer(from_fn(move |request, next| {
                    call(run.clone(), point, request, next)
                }))
                // Who is alive is told by the cluster's time, as every server says it.
                .layer(axum::middleware::map_response(move |mut response: Response| {
                    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
                        .timestamp_to_rfc9110_string(&now)
                        .unwrap();
                    response.headers_mut().insert(DATE, date.parse().unwrap());
                    async move { response }
                }));
            tokio::select! {
                _ = closed => {}
                ended = axum::serve(listener, app) => ended.unwrap(),
            }
        });
    })
}

/// At 25%, and the daemon is dead: so long that nobody waits for it.
async fn at_25() -> World {
    let mut world = World::new();
    for name in NAMES {
        world.store.put(virtual_service(name)).unwrap();
    }
    world.store.put(plan(&NAMES.map(component))).unwrap();
    world.start("daemon-1");
    world
        .until("25%", |w| NAMES.iter().all(|name| w.weight(name) == 25))
        .await;
    world.kill().await;
    world.pass(60).await;
    world
}

fn back(world: &World) -> Vec<&'static str> {
    NAMES.into_iter().filter(|name| world.weight(name) == 0).collect()
}

fn wished(world: &World) -> bool {
    let annotations = world.object()["metadata"]["annotations"].to_string();
    annotations.contains("command.rollback")
}

/// One death, and whoever comes next: the same command again, or the daemon. What went wrong.
async fn dies(point: Point, daemon: bool) -> Vec<String> {
    let mut world = at_25().await;
    let ran = emergency(&world, Some(point));
    let mut wrong = Vec::new();
    if ran.code.is_some() {
        wrong.push(format!("it did not die: {}", ran.said));
    }
    let (done, wished) = (back(&world), wished(&world));
    if daemon {
        world.start("daemon-2");
        // Several times as long as any hold of the plan.
        for _ in 0..20 {
            world.pass(10).await;
            let risen: Vec<&&str> = done.iter().filter(|name| world.weight(name) > 0).collect();
            if !risen.is_empty() {
                wrong.push(format!("{risen:?} rose again"));
                break;
            }
        }
        if wished && back(&world) != NAMES {
            wrong.push(format!(
                "the wish was written, and back are only {:?}",
                back(&world)
            ));
        }
    }
    // With the daemon alive the command would wait for it, and the world's time stands still while it runs.
    world.kill().await;
    world.pass(60).await;
    let again = emergency(&world, None);
    if again.code != Some(0) || back(&world) != NAMES {
        wrong.push(format!(
            "again: {:?}, back are {:?}: {}",
            again.code,
            back(&world),
            again.said
        ));
    }
    wrong
        .into_iter()
        .map(|what| {
            format!(
                "{point:?}, then {}: {what}, after {:#?}",
                if daemon { "the daemon" } else { "itself" },
                ran.log
            )
        })
        .collect()
}

#[test]
fn whenever_the_emergency_dies_what_is_back_stays_back_and_the_rest_follows() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let ran = runtime().block_on(async {
        let world = at_25().await;
        let ran = emergency(&world, None);
        assert_eq!(
            (ran.code, back(&world)),
            (Some(0), NAMES.to_vec()),
            "{}",
            ran.said
        );
        assert!(wished(&world), "the wish stays for the daemon that comes back");
        ran
    });
    let all = std::env::var("SWEEP").unwrap_or_default() == "all";
    let points = crate::points(&ran.log, all);
    let ways: Vec<(Point, bool)> = points.iter().flat_map(|p| [(*p, true), (*p, false)]).collect();
    let wrong: Vec<String> = ways
        .iter()
        .flat_map(|(point, daemon)| runtime().block_on(dies(*point, *daemon)))
        .collect();
    println!(
        "an emergency, killed at {} points of {}, and then the daemon or the same again: {} violations",
        points.len(),
        2 * ran.log.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", crate::shown(&wrong));
}
