//! Connections to the cluster.

use kube::Config;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::path::{Path, PathBuf};
use tower::{BoxError, Service};

/// A connection, as the rest of the house calls it.
pub use kube::Client;

/// The connections of a process.
#[derive(Clone)]
pub struct Clients {
    /// For everything but lowers: kube's own layers, with its retries.
    pub api: Client,
    /// For lowers: a connection pool of its own and no retry layer, so that nothing waits behind anything.
    pub fast: Client,
    /// How long a watch lasts before it is renewed, in seconds; `None`: the client's default, `Some(0)`: for ever,
    /// which is for servers inside this process only.
    pub watch_timeout: Option<u32>,
}

/// Why no connection could be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The given kubeconfig cannot be used.
    #[error("unable to use the kubeconfig {path}: {message}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Nothing says where the cluster is.
    #[error(
        "found no cluster: neither KUBECONFIG nor ~/.kube/config can be used, and this is no pod of a cluster ({message}); point KUBECONFIG at a kubeconfig, or try `gradual-rollout sandbox`"
    )]
    Nowhere {
        /// What was tried.
        message: String,
    },
    /// What was found cannot be connected with.
    #[error("unable to set up the connection to {server}: {message}")]
    Setup {
        /// The server's URL.
        server: String,
        /// Why.
        message: String,
    },
}

/// Finds the cluster: the given file, else KUBECONFIG, `~/.kube/config`, the pod's own service account.
pub async fn connect(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Clients, ConnectError> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let config = if let Some(path) = kubeconfig {
        let wrong = |message: String| ConnectError::Kubeconfig {
            path: path.to_owned(),
            message,
        };
        let file = Kubeconfig::read_from(path).map_err(|e| wrong(e.to_string()))?;
        Config::from_custom_kubeconfig(file, &options)
            .await
            .map_err(|e| wrong(e.to_string()))?
    } else if context.is_some() {
        Config::from_kubeconfig(&options)
            .await
            .map_err(|e| ConnectError::Nowhere {
                message: e.to_string(),
            })?
    } else {
        Config::infer().await.map_err(|e| ConnectError::Nowhere {
            message: e.to_string(),
        })?
    };
    let server = config.cluster_url.to_string();
    let setup = |error: kube::Error| ConnectError::Setup {
        server: server.clone(),
        message: error.to_string(),
    };
    let mut plain = config.clone();
    plain.default_retry = false;
    Ok(Clients {
        api: Client::try_from(config).map_err(setup)?,
        fast: Client::try_from(plain).map_err(setup)?,
        watch_timeout: None,
    })
}

impl Clients {
    /// Connections to a service in this process.
    pub fn from_service<S, B>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<B>> + Send + Clone + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self {
            api: Client::new(service.clone(), "default"),
            fast: Client::new(service, "default"),
            watch_timeout: Some(0),
        }
    }

    /// How watches are made here.
    pub fn watching(&self) -> kube::runtime::watcher::Config {
        kube::runtime::watcher::Config {
            timeout: self.watch_timeout,
            ..kube::runtime::watcher::Config::default()
        }
    }
}
