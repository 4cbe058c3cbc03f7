//! Several objects that are written or deleted one after the other, and what is said when it ends half-way.

use crate::place::Place;
use crate::put;
use crate::see::{self, Kind};
use crate::trouble::{End, Trouble};
use kube::Client;
use serde_json::Value;

/// What became of some objects.
#[derive(Debug, Default)]
pub struct Done {
    /// Those that are done, as `Kind namespace/name`.
    pub done: Vec<String>,
    /// Of those the ones that were as they should be.
    pub same: Vec<String>,
    /// Of those the ones that were not there.
    pub made: Vec<String>,
    /// What stopped it.
    pub trouble: Option<Trouble>,
    /// Those that were not tried any more, the one that failed first.
    pub left: Vec<String>,
}

impl Done {
    /// How the verb ends: in trouble where nothing is done yet, partly where something is.
    pub fn end(self, place: &mut Place<'_>, word: &str) -> Result<End, Trouble> {
        let Some(trouble) = self.trouble else {
            return Ok(End::Done);
        };
        if self.done.is_empty() {
            return Err(trouble);
        }
        for object in &self.left {
            writeln!(place.err, "not {word}: {object}")?;
        }
        writeln!(place.err, "{trouble}")?;
        Ok(End::Partly)
    }
}

/// An object without what every write changes.
fn asked(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(meta) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        for made in ["managedFields", "resourceVersion", "generation"] {
            meta.remove(made);
        }
    }
    object
}

/// Whether an object is as it was before it was written.
pub fn is_same(before: Option<&Value>, written: &Value) -> bool {
    before.is_some_and(|before| asked(before) == asked(written))
}

/// Applies objects in order; the first that fails is the last that is tried.
pub async fn apply(client: &Client, objects: &[(Kind, Value)], dry_run: bool) -> Done {
    let mut all = Done::default();
    for (kind, object) in objects {
        if all.trouble.is_none() {
            let within = Some(see::namespace(object)).filter(|namespace| !namespace.is_empty());
            // Who may not look is told that it was written.
            let before = see::get(client, *kind, within, see::name(object)).await;
            let absent = matches!(before, Ok(None));
            let before = before.ok().flatten();
            match put::apply(client, *kind, object, dry_run).await {
                Ok(written) => {
                    if is_same(before.as_ref(), &written) {
                        all.same.push(see::object(object));
                    }
                    if absent {
                        all.made.push(see::object(object));
                    }
                    all.done.push(see::object(object));
                    continue;
                }
                Err(trouble) => all.trouble = Some(trouble),
            }
        }
        all.left.push(see::object(object));
    }
    all
}

/// Deletes objects in order, each only as it was read.
pub async fn delete(client: &Client, objects: &[(Kind, Value)], dry_run: bool) -> Done {
    let mut all = Done::default();
    for (kind, object) in objects {
        if all.trouble.is_none() {
            let gone = if dry_run {
                Ok(true)
            } else {
                put::delete(client, *kind, object).await
            };
            match gone {
                Ok(_) => {
                    all.done.push(see::object(object));
                    continue;
                }
                Err(trouble) => all.trouble = Some(trouble),
            }
        }
        all.left.push(see::object(object));
    }
    all
}

/// Why objects may not be written: the first that is there and not ours.
pub async fn foreign(client: &Client, objects: &[(Kind, Value)]) -> Result<Option<String>, Trouble> {
    for (kind, object) in objects {
        let namespace = Some(see::namespace(object)).filter(|namespace| !namespace.is_empty());
        let there = see::get(client, *kind, namespace, see::name(object)).await?;
        if let Some(there) = there.filter(|there| !put::is_ours(there)) {
            return Ok(Some(format!(
                "{} is there already and has not the label {}={}; rename or remove it first",
                see::object(&there),
                put::MANAGED_BY.0,
                put::MANAGED_BY.1
            )));
        }
    }
    Ok(None)
}

/// Why objects may not be written: the first that is there, is ours, and was made for somebody else, as one of these
/// labels says. The last word is the label's, not the name's: names are cut.
pub async fn anothers(
    client: &Client,
    objects: &[(Kind, Value)],
    labels: &[&str],
) -> Result<Option<String>, Trouble> {
    for (kind, object) in objects {
        let namespace = Some(see::namespace(object)).filter(|namespace| !namespace.is_empty());
        let Some(there) = see::get(client, *kind, namespace, see::name(object)).await? else {
            continue;
        };
        for label in labels {
            let (wanted, has) = (see::label(object, label), see::label(&there, label));
            let copied = |object| see::annotation(object, crate::marks::COPY_OF);
            // Copies of certificates have lost their labels where an earlier version renewed them.
            let alike = has.is_none() && copied(object).is_some() && copied(object) == copied(&there);
            if wanted.is_some() && wanted != has && !alike {
                return Ok(Some(format!(
                    "{} is there already and was made for something else: its label {label} is {}, not {}; see whose \
                     it is, and remove or rename it first",
                    see::object(&there),
                    has.unwrap_or("not there"),
                    wanted.unwrap_or_default()
                )));
            }
        }
    }
    Ok(None)
}

/// Prints JSON, or the lines of what was done.
pub fn say(place: &mut Place<'_>, whole: &Value, lines: &[String]) -> Result<(), Trouble> {
    if place.json {
        serde_json::to_writer_pretty(&mut *place.out, whole).map_err(std::io::Error::from)?;
        writeln!(place.out)?;
        return Ok(());
    }
    for line in lines {
        writeln!(place.out, "{}", crate::finding::plain(line))?;
    }
    Ok(())
}
