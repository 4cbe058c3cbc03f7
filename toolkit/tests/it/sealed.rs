//! Encrypted backups: nothing in clear on disk, nothing written by whoever cannot read them.

use crate::apply::{ING, tenants};
use crate::objects::{config_map, ingress};
use crate::restore::{delete_all, filled};
use crate::rollback::full;
use crate::support::{cluster, migrate};
use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// What nobody may find on disk.
const PASSWORD: &str = "correct-horse-battery-staple";

/// A folder for a backup, and keys beside it.
struct Keys {
    home: TempDir,
}

impl Keys {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// The path of a name.
    fn at(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    /// A key: the path of its file, and its public half.
    fn key(&self, name: &str) -> (String, String) {
        let (identity, path) = (Identity::generate(), self.at(name));
        let text = format!("# mine\n{}\n", identity.to_string().expose_secret());
        fs::write(&path, text).unwrap();
        (path, identity.to_public().to_string())
    }
}

/// Every byte of a folder, and the names in it.
fn bytes(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        all.extend(path.file_name().unwrap().as_encoded_bytes());
        all.extend(if path.is_dir() {
            bytes(&path)
        } else {
            fs::read(path).unwrap()
        });
    }
    all
}

fn has(dir: &str, text: &str) -> bool {
    let all = bytes(Path::new(dir));
    all.windows(text.len()).any(|window| window == text.as_bytes())
}

fn with_password(store: &Store) {
    let mut settings = config_map("ns-a", "settings");
    settings["data"] = json!({"password": PASSWORD});
    store.put(settings).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_encrypted_is_nowhere_in_clear_and_comes_back_for_each_who_can_read_it() {
    let (store, clock) = filled();
    with_password(&store);
    let before = store.get("configmaps", "ns-a", "settings").unwrap();
    let keys = Keys::new();
    let ((ada, for_ada), (bob, for_bob)) = (keys.key("ada"), keys.key("bob"));
    let list = keys.at("recipients");
    fs::write(&list, format!("# the other one\n\n{for_bob}\n")).unwrap();
    let dir = keys.at("b");
    let words = [
        "backup",
        "--dir",
        &dir,
        "--recipient",
        &for_ada,
        "--recipients-file",
        &list,
    ];
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.out.contains(&for_ada) && said.out.contains(&for_bob),
        "{}",
        said.out
    );
    for clear in [PASSWORD, "\"Ingress\"", "\"metadata\""] {
        assert!(!has(&dir, clear), "{clear} is on disk");
    }
    assert!(has(&dir, "age-encryption.org/v1"));
    for identity in [&ada, &bob] {
        delete_all(&store);
        let words = ["restore", "--dir", &dir, "--identity", identity];
        let said = migrate(&store, &clock, &words).await;
        println!("{}{}", said.err, said.out);
        assert_eq!(said.end.unwrap(), End::Done);
        let now = store.get("configmaps", "ns-a", "settings").unwrap();
        assert_eq!(now["data"], before["data"]);
        assert!(store.get(ING, "ns-a", "shop").is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_identity_or_with_another_nothing_is_written_and_it_is_said_why() {
    let (store, clock) = filled();
    let keys = Keys::new();
    let ((own, recipient), (other, _)) = (keys.key("own"), keys.key("other"));
    let (dir, clear) = (keys.at("b"), keys.at("clear"));
    let words = ["backup", "--dir", &dir, "--recipient", &recipient];
    migrate(&store, &clock, &words).await.end.unwrap();
    migrate(&store, &clock, &["backup", "--dir", &clear])
        .await
        .end
        .unwrap();
    delete_all(&store);
    let version = store.version();
    for (words, told) in [
        (&["restore", "--dir", &dir][..], "--identity"),
        (
            &["restore", "--dir", &dir, "--identity", &other],
            "none of the identities",
        ),
        (
            &["restore", "--dir", &dir, "--identity", &keys.at("nowhere")],
            "nowhere",
        ),
        // Somebody may have put another one there.
        (
            &["restore", "--dir", &clear, "--identity", &own],
            "is not encrypted",
        ),
        (&["rollback", "--all", "--dir", &dir], "--identity"),
        (&["cleanup", "--all", "--dir", &dir], "--identity"),
    ] {
        let said = migrate(&store, &clock, words).await;
        let Err(Trouble::Usage(why) | Trouble::Refused(why)) = said.end else {
            panic!("{words:?}: {said:?}")
        };
        println!("{why}");
        assert!(why.contains(told), "{words:?}: {why}");
        assert_eq!(store.version(), version, "{words:?}");
    }
    // A byte that was changed is not believed either.
    let file = Path::new(&dir).join("ns-a/ingresses.networking.k8s.io.json.age");
    let mut sealed = fs::read(&file).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    fs::write(&file, sealed).unwrap();
    let said = migrate(&store, &clock, &["restore", "--dir", &dir, "--identity", &own]).await;
    let Err(Trouble::Refused(why)) = said.end else {
        panic!("{said:?}")
    };
    assert!(why.contains("damaged or altered"), "{why}");
    assert_eq!(store.version(), version);
}

#[tokio::test(start_paused = true)]
async fn what_was_encrypted_for_the_same_by_another_hand_is_not_taken_for_the_backup() {
    let (store, clock) = filled();
    let keys = Keys::new();
    let (own, recipient) = keys.key("own");
    let (dir, other) = (keys.at("b"), keys.at("other"));
    migrate(
        &store,
        &clock,
        &["backup", "--dir", &dir, "--recipient", &recipient],
    )
    .await
    .end
    .unwrap();
    with_password(&store);
    migrate(
        &store,
        &clock,
        &["backup", "--dir", &other, "--recipient", &recipient],
    )
    .await
    .end
    .unwrap();
    for file in ["ns-a/configmaps.json.age", "ns-a/manifest.json.age"] {
        let to = Path::new(&dir).join(file);
        let kept = fs::read(&to).unwrap();
        fs::copy(Path::new(&other).join(file), &to).unwrap();
        let said = migrate(&store, &clock, &["restore", "--dir", &dir, "--identity", &own]).await;
        let Err(Trouble::Refused(why)) = said.end else {
            panic!("{file}: {said:?}")
        };
        assert!(why.contains("not as it was written"), "{why}");
        fs::write(&to, kept).unwrap();
    }
}

#[tokio::test]
async fn one_that_was_interrupted_goes_on_for_the_same_readers_and_no_others() {
    let (store, clock) = cluster();
    for namespace in ["ns-a", "ns-b"] {
        store.namespace(namespace);
        store.put(ingress(namespace, "shop")).unwrap();
    }
    with_password(&store);
    let keys = Keys::new();
    let ((own, recipient), (_, other)) = (keys.key("own"), keys.key("other"));
    let (dir, clear) = (keys.at("b"), keys.at("clear"));
    let mut fault = Fault::new(Action::Fail(Failure::new(500, "InternalError", "etcd is away")))
        .verb("list")
        .resource("ingresses.networking.k8s.io");
    fault.namespace = Some("ns-b".to_owned());
    let number = store.inject(fault);
    let words = ["backup", "--dir", &dir, "--recipient", &recipient];
    migrate(&store, &clock, &words).await.end.unwrap_err();
    migrate(&store, &clock, &["backup", "--dir", &clear])
        .await
        .end
        .unwrap_err();
    store.faults().lift(number);
    for (dir, recipient, told) in [
        (&dir, &other, "would be mixed"),
        (&clear, &recipient, "is not encrypted"),
    ] {
        let words = ["backup", "--dir", dir, "--recipient", recipient];
        let said = migrate(&store, &clock, &words).await;
        let Err(Trouble::Refused(why)) = said.end else {
            panic!("{said:?}")
        };
        assert!(why.contains(told), "{why}");
    }
    // Whoever goes on needs no identity, and need not name the readers again.
    let sealed = fs::read(Path::new(&dir).join("ns-a/configmaps.json.age")).unwrap();
    let said = migrate(&store, &clock, &["backup", "--dir", &dir]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.out.contains("from before"), "{}", said.out);
    assert_eq!(
        fs::read(Path::new(&dir).join("ns-a/configmaps.json.age")).unwrap(),
        sealed
    );
    assert!(!has(&dir, PASSWORD) && !has(&dir, "\"Ingress\""));
    for namespace in ["ns-a", "ns-b"] {
        store.delete(ING, namespace, "shop").unwrap();
    }
    let words = ["restore", "--dir", &dir, "--identity", &own];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    assert_eq!(store.list(ING).len(), 2);
}

#[tokio::test]
async fn a_file_that_was_damaged_meanwhile_is_taken_anew() {
    let (store, clock) = tenants(&["ns-a"]);
    with_password(&store);
    let keys = Keys::new();
    let (own, recipient) = keys.key("own");
    let dir = keys.at("b");
    let number = store.inject(
        Fault::new(Action::Fail(Failure::new(403, "Forbidden", "no quotas for you")))
            .verb("list")
            .resource("resourcequotas"),
    );
    let words = ["-n", "ns-a", "backup", "--dir", &dir, "--recipient", &recipient];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Partly);
    store.faults().lift(number);
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
    // As one that was killed before its last words.
    let page = Path::new(&dir).join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&page).unwrap()).unwrap();
    manifest.as_object_mut().unwrap().remove("finishedAt");
    manifest["namespaces"] = json!({});
    fs::write(&page, manifest.to_string()).unwrap();
    let file = Path::new(&dir).join("ns-a/configmaps.json.age");
    fs::write(&file, "x").unwrap();
    let said = migrate(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(!said.out.contains("from before"), "{}", said.out);
    let words = ["restore", "--dir", &dir, "--identity", &own];
    assert_eq!(migrate(&store, &clock, &words).await.end.unwrap(), End::Done);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_brings_back_what_an_encrypted_backup_has() {
    let (store, clock) = full();
    let keys = Keys::new();
    let (own, recipient) = keys.key("own");
    let dir = keys.at("b");
    let words = ["backup", "--dir", &dir, "--recipient", &recipient];
    migrate(&store, &clock, &words).await.end.unwrap();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    let words = ["rollback", "--all", "--dir", &dir, "--identity", &own];
    let said = migrate(&store, &clock, &words).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(store.get(ING, "ns-a", "shop").is_some());
}
