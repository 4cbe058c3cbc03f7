//! Faults that tests and stories inject: refusals, delays and connections that hang.

use super::failure::Failure;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to a matching request.
#[derive(Clone, Debug)]
pub enum Action {
    /// It is refused; nothing is written.
    Fail(Failure),
    /// It is answered only after this long, on the clock of the runtime it is served in.
    Delay(Duration),
    /// It is written, but the answer is this refusal: a response lost on the way.
    FailAfter(Failure),
    /// It is never answered. The request is dropped when the client gives up.
    Hang,
}

/// Which requests are hit. `None` matches everything.
#[derive(Clone, Debug)]
pub struct Fault {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: Option<String>,
    /// `plural.group`, or the plural alone for core.
    pub resource: Option<String>,
    /// `""` for the main resource, `"status"` or `"scale"`.
    pub subresource: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// The field manager (or the first word of the User-Agent).
    pub manager: Option<String>,
    /// How many requests are hit before the fault is over; `None` for ever.
    pub times: Option<u32>,
    /// What happens.
    pub action: Action,
}

impl Fault {
    /// A fault that hits every request, for ever, until narrowed.
    pub fn new(action: Action) -> Self {
        Self {
            verb: None,
            resource: None,
            subresource: None,
            namespace: None,
            name: None,
            manager: None,
            times: None,
            action,
        }
    }

    /// Only this verb.
    #[must_use]
    pub fn verb(mut self, verb: &str) -> Self {
        self.verb = Some(verb.to_owned());
        self
    }

    /// Only this resource.
    #[must_use]
    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Only this subresource; `""` for the object itself.
    #[must_use]
    pub fn subresource(mut self, subresource: &str) -> Self {
        self.subresource = Some(subresource.to_owned());
        self
    }

    /// Only this name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Only this many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

/// A request as faults see it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The verb.
    pub verb: &'a str,
    /// `plural.group`.
    pub resource: &'a str,
    /// The subresource, or `""`.
    pub subresource: &'a str,
    /// The namespace, or `""`.
    pub namespace: &'a str,
    /// The name, or `""`.
    pub name: &'a str,
    /// The field manager.
    pub manager: &'a str,
}

/// All faults in force.
#[derive(Debug, Default)]
pub struct Faults(Mutex<(u64, Vec<(u64, Fault)>)>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, (u64, Vec<(u64, Fault)>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a fault in force; the number takes it out again.
    pub fn inject(&self, fault: Fault) -> u64 {
        let mut faults = self.lock();
        faults.0 += 1;
        let id = faults.0;
        faults.1.push((id, fault));
        id
    }

    /// Takes one fault out.
    pub fn lift(&self, id: u64) {
        self.lock().1.retain(|(i, _)| *i != id);
    }

    /// Takes all faults out.
    pub fn clear(&self) {
        self.lock().1.clear();
    }

    /// The action of the first fault that hits, which counts as used.
    pub fn hit(&self, seen: Seen<'_>) -> Option<Action> {
        let mut faults = self.lock();
        let is = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        let at = faults.1.iter().position(|(_, f)| {
            is(&f.verb, seen.verb)
                && is(&f.resource, seen.resource)
                && is(&f.subresource, seen.subresource)
                && is(&f.namespace, seen.namespace)
                && is(&f.name, seen.name)
                && is(&f.manager, seen.manager)
        })?;
        let (_, fault) = faults.1.get_mut(at)?;
        let action = fault.action.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                faults.1.remove(at);
            }
        }
        Some(action)
    }
}
