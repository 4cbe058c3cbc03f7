//! The commands of the migration documents, as they are typed there: each is one of ours, whose spelling is told.

use super::args::MigrateVerb;
use crate::cli::args::{Global, Output, VerbArgs};
use crate::cli::exit::Failure;
use crate::cli::output_to::OutputTo;
use crate::cli::suggest;
use clap::{Subcommand, ValueEnum};
use gradual_rollout_toolkit::tenant::TenantVerb;
use gradual_rollout_toolkit::verb::Verb;

/// What the documents call it, as it may be typed behind `migrate` too.
#[derive(Debug, Subcommand)]
pub enum Step {
    /// `migrate block`, `apply`, `validate` and `cleanup`, one step at a time
    #[command(hide = true)]
    Cutover {
        /// Which step
        #[arg(long, value_enum)]
        step: Cutover,
        /// Write nothing
        #[arg(long)]
        dry_run: bool,
        /// Nothing is asked, so it has no effect; refused for the cleanup, which is forced by nothing
        #[arg(long)]
        force: bool,
        /// The folder of the backup, for the cleanup
        #[arg(long, value_name = "DIR")]
        dir: Option<String>,
        /// What opens the backup; may be repeated
        #[arg(long, value_name = "FILE")]
        identity: Vec<String>,
        /// The class of the Ingresses, where several controllers run
        #[arg(long, value_name = "NAME")]
        ingress_class: Option<String>,
    },
    /// `migrate probe --suite`
    #[command(hide = true)]
    TestSuite {
        /// Which suite
        suite: String,
        /// What is given to `probe` as it is
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        more: Vec<String>,
    },
    /// `migrate loadbalancer migrate`, for the object storage
    #[command(hide = true)]
    Minio {
        /// The domain of its first port
        #[arg(long, value_name = "DOMAIN")]
        domain: String,
        /// The Secret with the certificate of its hosts
        #[arg(long, value_name = "NAMESPACE/NAME")]
        certificate: Option<String>,
        /// The port on the nodes for its first port, once its address is given up
        #[arg(long, value_name = "PORT")]
        nodeport: Option<u16>,
        /// Give its address up: the one step that cannot be taken back
        #[arg(long)]
        release_address: bool,
        /// Give it up although this was found; may be repeated, or a list by comma
        #[arg(long, value_name = "CODE", requires = "release_address")]
        accept: Vec<String>,
        /// Write nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// What the documents call it.
#[derive(Debug, Subcommand)]
pub enum Older {
    /// What does not mean another thing behind `migrate`.
    #[command(flatten)]
    Step(Step),
    /// `migrate tenant create`
    #[command(hide = true)]
    Tenant {
        /// The tenant
        name: String,
        /// What is given to `tenant create` as it is
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        more: Vec<String>,
    },
}

/// The steps of the documents' cutover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cutover {
    /// All of them: they are days apart, so they are named and not done
    All,
    /// No new Ingresses
    DisableIngress,
    /// Those there are
    MigrateExisting,
    /// Are they well?
    Validate,
    /// Take the Ingresses away
    Cleanup,
}

/// Where Sealos keeps its object storage.
const STORAGE: (&str, &str, u16) = ("objectstorage-system", "object-storage", 9000);

/// What may become of a tenant.
const TENANT: [&str; 3] = ["create", "check", "delete"];

/// A line of older words, if it is one.
pub(in crate::cli) fn of(verb: &VerbArgs) -> Option<Typed<'_>> {
    if let VerbArgs::Older(Older::Tenant { name, more }) = verb {
        return Some(Typed::Tenant(name, more));
    }
    if let VerbArgs::Older(Older::Step(step))
    | VerbArgs::Migrate {
        what: MigrateVerb::Older(step),
    } = verb
    {
        return Some(Typed::Step(step));
    }
    let VerbArgs::Migrate {
        what: MigrateVerb::Cluster(Verb::Tenant(TenantVerb::Other(words))),
    } = verb
    else {
        return None;
    };
    let (name, more) = words.split_first()?;
    Some(Typed::NoVerb(name, more))
}

/// What was typed of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum Typed<'a> {
    /// A step.
    Step(&'a Step),
    /// A tenant, and what is given to `tenant create`.
    Tenant(&'a str, &'a [String]),
    /// The same behind `migrate tenant`, where it may be a verb that is mistyped.
    NoVerb(&'a str, &'a [String]),
}

/// The words of ours for it, after the program's name.
pub(in crate::cli) fn words(typed: Typed<'_>, global: &Global) -> Result<Vec<String>, Failure> {
    let mut words: Vec<String> = vec!["migrate".to_owned()];
    let mut namespace = global.namespace.clone();
    match typed {
        Typed::Step(step) => stepped(step, &mut words, &mut namespace)?,
        // A verb of ours before a name: the documents have only the name.
        Typed::Tenant(name, more) if more.first().is_some_and(|word| !word.starts_with('-')) => {
            let Some(near) = suggest::closest(name, TENANT) else {
                return Err(Failure::usage(format!(
                    "unable to tell what is to become of tenant {name:?}, as {:?} follows it: write gradual-rollout \
                     migrate tenant create, check or delete, then one name",
                    more.first().map_or("", String::as_str)
                )));
            };
            if near != name {
                return Err(Failure::usage(format!(
                    "migrate tenant has no verb {name:?}; did you mean {near}? Write: gradual-rollout migrate tenant \
                     {near} {}",
                    more.join(" ")
                )));
            }
            words.extend(["tenant".to_owned(), name.to_owned()]);
            words.extend(more.iter().cloned());
        }
        Typed::Tenant(name, more) => {
            words.extend(["tenant".to_owned(), "create".to_owned(), name.to_owned()]);
            words.extend(more.iter().cloned());
        }
        Typed::NoVerb(name, more) => {
            if let Some(near) = suggest::closest(name, TENANT) {
                return Err(Failure::usage(format!(
                    "migrate tenant has no verb {name:?}; did you mean {near}? A tenant of that name is made with: \
                     gradual-rollout migrate tenant create {name}"
                )));
            }
            return self::words(Typed::Tenant(name, more), global);
        }
    }
    if let Some(namespace) = namespace {
        words.extend(["-n".to_owned(), namespace]);
    }
    if global.output == Some(OutputTo::Form(Output::Json)) {
        words.extend(["-o".to_owned(), "json".to_owned()]);
    }
    Ok(words)
}

/// Words as a shell reads them back: what is told can be typed as it stands.
pub(in crate::cli) fn line(words: &[String]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,=@%+".contains(&byte);
    let quoted = |word: &String| {
        if !word.is_empty() && word.bytes().all(plain) {
            return word.clone();
        }
        format!("'{}'", word.replace('\'', "'\\''"))
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// The words of a step.
fn stepped(step: &Step, words: &mut Vec<String>, namespace: &mut Option<String>) -> Result<(), Failure> {
    match step {
        Step::Cutover {
            step,
            dry_run,
            dir,
            identity,
            ingress_class,
            force,
        } => {
            if *force && *step == Cutover::Cleanup {
                return Err(Failure::usage(
                    "--force: no cleanup is forced. Leave it out, and name what may be accepted: gradual-rollout migrate \
                     cleanup --all --dir BACKUP --accept CODE",
                ));
            }
            let backup = dir.as_deref().map(|dir| (dir, identity.as_slice()));
            cutover(*step, backup, namespace.is_some(), words)?;
            if let Some(class) = ingress_class {
                // A block is of classes, and may be of several.
                let flag = match step {
                    Cutover::DisableIngress => "--class",
                    Cutover::All | Cutover::MigrateExisting | Cutover::Validate | Cutover::Cleanup => {
                        "--ingress-class"
                    }
                };
                words.extend([flag.to_owned(), class.clone()]);
            }
            if *dry_run && *step != Cutover::Validate {
                words.push("--dry-run".to_owned());
            }
        }
        Step::TestSuite { suite, more } => {
            words.extend(["probe".to_owned(), "--suite".to_owned(), suite.clone()]);
            words.extend(more.iter().cloned());
        }
        Step::Minio { .. } => {
            storage(step, words)?;
            namespace.get_or_insert_with(|| STORAGE.0.to_owned());
        }
    }
    Ok(())
}

/// The words of a step of the cutover, with the folder of the backup and what opens it; `narrowed` to a namespace or not.
fn cutover(
    step: Cutover,
    backup: Option<(&str, &[String])>,
    narrowed: bool,
    words: &mut Vec<String>,
) -> Result<(), Failure> {
    let mut say = |more: &[&str]| words.extend(more.iter().map(ToString::to_string));
    match step {
        Cutover::All => {
            return Err(Failure::refused(
                "the steps of a cutover are days apart, and each wants to be looked at. One after the other:\n  \
                 gradual-rollout migrate block --mode audit|warn|deny\n  \
                 gradual-rollout migrate apply --all\n  \
                 gradual-rollout migrate validate\n  \
                 gradual-rollout migrate cleanup --all --dir BACKUP",
            ));
        }
        Cutover::DisableIngress => say(&["block", "--mode", "deny"]),
        Cutover::MigrateExisting if narrowed => say(&["apply"]),
        Cutover::MigrateExisting => say(&["apply", "--all"]),
        Cutover::Validate => say(&["validate"]),
        Cutover::Cleanup => {
            let (dir, identity) = backup.ok_or_else(|| {
                Failure::usage(
                    "nothing is deleted without a backup: name its folder, as in --step cleanup --dir BACKUP \
                     (gradual-rollout migrate backup --dir BACKUP makes one)",
                )
            })?;
            say(&["cleanup", "--dir", dir]);
            for file in identity {
                say(&["--identity", file]);
            }
            if !narrowed {
                say(&["--all"]);
            }
        }
    }
    Ok(())
}

/// The words for the object storage.
fn storage(step: &Step, words: &mut Vec<String>) -> Result<(), Failure> {
    let Step::Minio {
        domain,
        certificate,
        nodeport,
        release_address,
        accept,
        dry_run,
    } = step
    else {
        return Ok(());
    };
    let (_, service, port) = STORAGE;
    let mut say = |more: &[&str]| words.extend(more.iter().map(ToString::to_string));
    say(&["loadbalancer", "migrate", service, "--domain", domain]);
    if let Some(certificate) = certificate {
        say(&["--certificate", certificate]);
    }
    if *release_address {
        say(&["--release-address"]);
    }
    if let Some(nodeport) = nodeport {
        if !release_address {
            return Err(Failure::usage(
                "--nodeport takes effect when the load balancer's address is given up, which cannot be taken \
                 back: leave it out at first, and when clients have moved add --release-address",
            ));
        }
        say(&["--nodeport", &format!("{port}={nodeport}")]);
    }
    for codes in accept {
        say(&["--accept", codes]);
    }
    if *dry_run {
        say(&["--dry-run"]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Raw;
    use clap::Parser as _;

    fn ours(typed: &str) -> Result<String, Failure> {
        let raw = Raw::try_parse_from(typed.split(' ')).unwrap();
        let verb = raw.verb.unwrap();
        let Some(older) = of(&verb) else {
            panic!("{typed}: no command of the documents")
        };
        words(older, &raw.global).map(|words| words.join(" "))
    }

    #[test]
    fn each_command_of_the_documents_is_one_of_ours_that_is_understood() {
        for (typed, wanted) in [
            ("g cutover --step disable-ingress", "migrate block --mode deny"),
            (
                "g cutover --step migrate-existing --dry-run --force",
                "migrate apply --all --dry-run",
            ),
            (
                "g cutover --step migrate-existing -n ns-a",
                "migrate apply -n ns-a",
            ),
            (
                "g cutover --step migrate-existing --ingress-class inner",
                "migrate apply --all --ingress-class inner",
            ),
            ("g cutover --step validate --dry-run", "migrate validate"),
            (
                "g cutover --step disable-ingress --ingress-class inner",
                "migrate block --mode deny --class inner",
            ),
            (
                "g cutover --step validate --ingress-class inner",
                "migrate validate --ingress-class inner",
            ),
            (
                "g cutover --step cleanup --dir b --identity k.txt --ingress-class inner",
                "migrate cleanup --dir b --identity k.txt --all --ingress-class inner",
            ),
            (
                "g minio --domain s3.a.com --certificate ns-a/s3 --release-address --accept RELEASE-NAME-UNKNOWN",
                "migrate loadbalancer migrate object-storage --domain s3.a.com --certificate ns-a/s3 --release-address --accept RELEASE-NAME-UNKNOWN -n objectstorage-system",
            ),
            (
                "g cutover --step cleanup --dir b",
                "migrate cleanup --dir b --all",
            ),
            ("g test-suite multi-tenant", "migrate probe --suite multi-tenant"),
            ("g test-suite all --strict", "migrate probe --suite all --strict"),
            (
                "g minio --dry-run --domain s3.a.com",
                "migrate loadbalancer migrate object-storage --domain s3.a.com --dry-run -n objectstorage-system",
            ),
            (
                "g minio --domain s3.a.com --nodeport 30900 --release-address",
                "migrate loadbalancer migrate object-storage --domain s3.a.com --release-address --nodeport 9000=30900 -n objectstorage-system",
            ),
            (
                "g tenant ada --domain a.com",
                "migrate tenant create ada --domain a.com",
            ),
        ] {
            let said = ours(typed).unwrap();
            assert_eq!(said, wanted, "{typed}");
            let behind = typed.replacen("g ", "g migrate ", 1);
            assert_eq!(ours(&behind).unwrap(), wanted, "{behind}");
            let words = ["g"].into_iter().chain(said.split(' '));
            assert!(Raw::try_parse_from(words).is_ok(), "{said}");
        }
    }

    #[test]
    fn what_is_told_is_read_back_by_a_shell_word_by_word() {
        let words: Vec<String> = [
            "migrate",
            "--dir",
            "my backup",
            "it's",
            "",
            "$HOME",
            "a;b",
            "*",
            "~",
            "--x=1",
            "\"q\"",
            "a\\b",
            "#",
            "\u{e9}",
            "\n",
        ]
        .map(ToOwned::to_owned)
        .into();
        let line = line(&words);
        let said = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s\\0' {line}")])
            .output()
            .unwrap();
        let read = String::from_utf8(said.stdout).unwrap();
        let read: Vec<&str> = read.split_terminator('\0').collect();
        assert_eq!(read, words, "{line}");
        assert!(
            line.starts_with("migrate --dir 'my backup' "),
            "plain words stay plain: {line}"
        );
    }

    #[test]
    fn a_verb_before_the_name_of_a_tenant_is_that_verb() {
        for verb in TENANT {
            let said = ours(&format!("g tenant {verb} bob --help-me-not")).unwrap();
            assert_eq!(said, format!("migrate tenant {verb} bob --help-me-not"));
        }
        // Alone it is a name.
        assert_eq!(ours("g tenant check").unwrap(), "migrate tenant create check");
    }

    #[test]
    fn what_the_documents_do_in_one_go_and_cannot_be_undone_is_refused_with_the_way_to_do_it() {
        for (typed, told) in [
            ("g cutover --step all", "migrate cleanup --all --dir"),
            ("g cutover --step cleanup", "--dir BACKUP"),
            ("g cutover --step cleanup --dir b --force", "--accept CODE"),
            ("g minio --domain s3.a.com --nodeport 30900", "--release-address"),
            ("g migrate tenant crate --domain a.com", "did you mean create"),
            ("g tenant delte bob", "migrate tenant delete bob"),
            ("g tenant bob ada", "unable to tell"),
        ] {
            let refused = ours(typed).unwrap_err();
            assert!(refused.message.contains(told), "{typed}: {}", refused.message);
        }
    }
}
