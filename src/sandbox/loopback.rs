//! The door for kubectl: the store over loopback HTTP, on a thread and a runtime of their own, in real time.

use super::apiserver::{Store, serve, write_kubeconfig};
use anyhow::Context as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Writes the text of `/metrics`.
pub(super) type Exporter = Arc<dyn Fn() -> String + Send + Sync>;

/// An open door. Dropping it closes it and removes its kubeconfig.
pub(super) struct Loopback {
    kubeconfig: PathBuf,
    exporter: SocketAddr,
    close: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Loopback {
    /// Opens it on free ports of 127.0.0.1. An interrupt from the keyboard, or SIGTERM, cancels `interrupted`.
    pub(super) fn open(
        store: Store,
        exporter: Exporter,
        interrupted: CancellationToken,
    ) -> anyhow::Result<Self> {
        let api = listen()?;
        let metrics = listen()?;
        let (address, page) = (api.local_addr()?, metrics.local_addr()?);
        let file = format!("gradual-rollout-sandbox-{}.kubeconfig", address.port());
        let kubeconfig = std::env::temp_dir().join(file);
        write_kubeconfig(&kubeconfig, address)
            .with_context(|| format!("unable to write the kubeconfig {}", kubeconfig.display()))?;
        let close = CancellationToken::new();
        let closing = close.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("unable to start the sandbox's server")?;
        let thread = std::thread::Builder::new()
            .name("sandbox-server".to_owned())
            .spawn(move || {
                if let Err(error) =
                    runtime.block_on(doors(api, metrics, store, exporter, closing, interrupted))
                {
                    tracing::error!(%error, "the sandbox's server ended: kubectl can no longer look in");
                }
            })?;
        Ok(Self {
            kubeconfig,
            exporter: page,
            close,
            thread: Some(thread),
        })
    }

    /// The file that tells kubectl the way.
    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where `/metrics` is.
    pub(super) const fn exporter(&self) -> SocketAddr {
        self.exporter
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.close.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sandbox's server panicked");
        }
        if let Err(error) = std::fs::remove_file(&self.kubeconfig) {
            tracing::debug!(%error, file = %self.kubeconfig.display(), "the kubeconfig was already gone");
        }
    }
}

fn listen() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("unable to listen on 127.0.0.1")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn doors(
    api: TcpListener,
    metrics: TcpListener,
    store: Store,
    exporter: Exporter,
    close: CancellationToken,
    interrupted: CancellationToken,
) -> std::io::Result<()> {
    let api = tokio::net::TcpListener::from_std(api)?;
    let metrics = tokio::net::TcpListener::from_std(metrics)?;
    let text = move || {
        let exporter = exporter.clone();
        async move { ([("content-type", "text/plain; version=0.0.4")], exporter()) }
    };
    let page = axum::Router::new().route("/metrics", axum::routing::get(text));
    tokio::select! {
        ended = serve(api, store, close.cancelled_owned()) => ended,
        ended = async { axum::serve(metrics, page).await } => ended,
        () = async {
            let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
            let terminated = async {
                match &mut term {
                    Some(term) => term.recv().await,
                    None => std::future::pending().await,
                }
            };
            // Without a keyboard nobody interrupts.
            let asked = tokio::select! { key = tokio::signal::ctrl_c() => key.is_ok(), _ = terminated => true };
            if asked {
                interrupted.cancel();
            }
            std::future::pending::<()>().await;
        } => Ok(()),
    }
}
