//! What the transcripts' commands find: a cluster, a Prometheus and files, all as they were on one morning.

use super::record;
use crate::support::cluster::Cluster;
use crate::support::tools::Prometheus;

pub(super) struct Scene {
    cluster: Cluster,
    prometheus: Prometheus,
}

impl Scene {
    pub(super) async fn start() -> Self {
        Self {
            cluster: Cluster::start().await,
            prometheus: Prometheus::with_record(&record::shop()).await,
        }
    }

    /// What the page's first file is: a rollout, or objects of a cluster.
    pub(super) fn set(&self, yaml: &str) {
        if yaml.contains("kind: GradualRollout") {
            self.files(yaml);
            return;
        }
        self.cluster.store.namespace("apps");
        for object in yaml.split("---\n") {
            self.cluster
                .store
                .put(serde_saphyr::from_str(object).unwrap())
                .unwrap();
        }
    }

    /// The page's own file as `shop.yaml`, applied, with the status of 09:10; and as `wrong.yaml` with a slip.
    fn files(&self, yaml: &str) {
        let wrong = yaml.replace("destination_version: v2", "destination_version: v3");
        assert_ne!(wrong, yaml, "the page's file names v2");
        let folder = self.cluster.folder.path();
        std::fs::write(folder.join("shop.yaml"), yaml).unwrap();
        std::fs::write(folder.join("wrong.yaml"), wrong).unwrap();
        let status = serde_json::from_str(include_str!("status.json")).unwrap();
        self.cluster.rollout(yaml, status);
        // Another that went back this morning.
        let cart = yaml.replace("shop", "cart");
        let rolled_back = serde_json::from_str(include_str!("rolled_back.json")).unwrap();
        self.cluster.rollout(&cart, rolled_back);
        self.cluster.daemon("2026-03-02T09:10:00.000000Z");
    }

    /// Runs a command of a transcript, on paper 100 columns wide.
    pub(super) async fn run(&self, command: &str) -> (i32, String, String) {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words.first(), Some(&"gradual-rollout"), "{command}");
        let url = self.prometheus.url();
        let env = [
            ("GRADUAL_ROLLOUT__PROMETHEUS__ENDPOINTS", url.as_str()),
            ("COLUMNS", "100"),
        ];
        self.cluster.run(&words[1..], &env).await
    }
}
