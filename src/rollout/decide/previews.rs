//! What reaches the canary beside its weight: routes for testers, and a mirror.
//!
//! Asked for by the spec, or by a command in its place: what a command said stands in the status, so that no tool
//! that owns the spec reverts it, until the plan begins again. What is written stands on the routed objects alone.

use super::Desk;
use super::commands::Answer;
use crate::rollout::command::{Command, Verb};
use crate::rollout::observation::{Aside, PreviewOrder, Routers, Wanted};
use crate::rollout::preview::{self, EditAction, Preview};
use crate::rollout::reason::Reason;
use crate::rollout::status::{ComponentStatus, PreviewStatus};

impl Desk<'_> {
    /// Asks for what is wanted beside the weight, until it is read back.
    pub(super) fn preview(&mut self, i: usize) {
        let seen = self.sight(i);
        let objects = match &seen.routers {
            Routers::Read(objects) => objects,
            Routers::Unreadable(why) => return self.preview_in_part(i, &why.clone()),
            Routers::Unread | Routers::Claimed(_) => return,
        };
        let asides: Vec<Aside> = objects.iter().filter_map(|o| o.aside.clone()).collect();
        let (busy, failure) = (seen.busy, seen.preview_failure.clone());
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        let known = c.preview.clone().unwrap_or_default();
        if asides.is_empty() && known == PreviewStatus::default() {
            return;
        }
        let wanted = wanted(c);
        let (mut differs, mut adds, mut missing) = (false, false, None);
        for aside in &asides {
            let (_, mark) = wanted.of(&aside.spec);
            let same = aside.written.as_deref().unwrap_or_default() == mark;
            if same && aside.missing.is_some() {
                // Somebody took it away, and it is theirs to take: it is told, and written again only when asked anew.
                missing = missing.or_else(|| aside.missing.clone());
            } else if !same || aside.stale {
                differs = true;
                adds |= !mark.is_empty();
            }
        }
        let ours = self.in_spec(i) && !c.detached && c.lowering.is_none() && c.intent.is_none() && !busy;
        let held = differs && adds && self.paused(c);
        let order = (differs && ours && !held).then(|| PreviewOrder {
            component: c.name.clone(),
            wanted,
            mark: c.mark.clone(),
        });
        let message = match (missing, failure.filter(|_| differs), held) {
            (Some(missing), _, _) => Some(missing),
            (None, Some(failure), _) => Some(failure),
            (None, None, true) => Some("it is written when nothing is paused any more".to_owned()),
            (None, None, false) => asides.iter().find_map(|aside| aside.sticky.clone()),
        };
        let next = PreviewStatus {
            written: asides.iter().find_map(|a| a.written.clone()).map(clip),
            message: message.map(clip),
            ..known.clone()
        };
        self.out.previews.extend(order);
        if next != known {
            self.tell(i, &known, &next);
            if let Some(c) = self.status.components.get_mut(i) {
                c.preview = Some(next).filter(|next| *next != PreviewStatus::default());
            }
            self.out.changed = true;
        }
    }

    /// Not all of its routed objects can be read: nothing is written beside the weight. What was asked for by a command
    /// is told to wait for that, and not for what was wrong before; and where each object that is there carries nothing,
    /// and nothing is not known, there is nothing to wait for.
    fn preview_in_part(&mut self, i: usize, why: &str) {
        let seen = self.sight(i);
        let mut asides = seen
            .partly
            .iter()
            .filter(|o| !o.absent)
            .filter_map(|o| o.aside.as_ref());
        let stands = asides.find_map(|aside| aside.written.clone()).map(clip);
        let unknown = seen.unknown;
        let Some(c) = self.status.components.get(i) else {
            return;
        };
        let Some(known) = c.preview.clone() else { return };
        let over = match wanted(c) {
            Wanted::Nothing => true,
            Wanted::Told { preview, .. } => preview.is_empty(),
            Wanted::AsSpecified => return,
        };
        let written = stands.or_else(|| known.written.clone().filter(|_| unknown));
        let waits = !over || written.is_some();
        let message = waits.then(|| clip(format!("nothing is written beside the weight: {why}")));
        let next = PreviewStatus {
            written,
            message,
            ..known.clone()
        };
        if next != known {
            self.tell(i, &known, &next);
            if let Some(c) = self.status.components.get_mut(i) {
                c.preview = Some(next).filter(|next| *next != PreviewStatus::default());
            }
            self.out.changed = true;
        }
    }

    fn tell(&mut self, i: usize, known: &PreviewStatus, next: &PreviewStatus) {
        if next.written != known.written {
            let message = next.written.as_ref().map_or_else(
                || "nothing reaches the canary beside its weight any more".to_owned(),
                |what| format!("to the canary beside its weight: {what}"),
            );
            self.note(i, Reason::PreviewChanged, message, false);
        }
        if let Some(message) = next.message.clone().filter(|_| next.message != known.message) {
            self.note(i, Reason::PreviewChanged, message, true);
        }
    }

    /// Obeys a command about routes for testers or the mirror.
    pub(super) fn beside_the_weight(&mut self, i: usize, command: &Command) -> Answer {
        if let Routers::Unreadable(why) = &self.sight(i).routers
            && would_add(command)
        {
            return Err(format!("it cannot be written: {why}"));
        }
        let spec = self.planned(i).and_then(|p| preview::of(&p.component));
        let Some(c) = self.status.components.get_mut(i) else {
            return Err(String::new());
        };
        let Some(spec) = spec else {
            let why = "none of its routers can do this: it takes `http` routes of an Istio VirtualService";
            return Err(why.to_owned());
        };
        if c.detached {
            return Err("it was detached: `resume` takes it up again".to_owned());
        }
        if c.state.is_terminal() && would_add(command) {
            return Err(format!(
                "it is at its end ({}), where nothing is kept beside the weight: `retry` begins again",
                c.state
            ));
        }
        let told = c.preview.as_ref().and_then(|p| p.asked.clone());
        let now = told.unwrap_or(spec);
        let new = if command.verb == Verb::Mirror {
            Preview {
                mirror: command.wish.weight,
                ..now
            }
        } else {
            now.edited(command.wish.route.as_ref().ok_or("it names no route")?)?
        };
        new.check()?;
        let asked = format!("asked for {new}");
        let preview = c.preview.get_or_insert_default();
        preview.asked = Some(new);
        preview.command = Some(command.id.clone());
        self.out.changed = true;
        Ok(asked)
    }
}

/// Whether a command lets more reach the canary.
pub(super) fn would_add(command: &Command) -> bool {
    if command.verb == Verb::Mirror {
        return command.wish.weight.is_some();
    }
    let edit = command.wish.route.as_ref();
    edit.is_some_and(|edit| edit.action == EditAction::Add)
}

/// What a component is to carry now. At its end, well or badly, nothing: a canary that was put back gets no request
/// at all, and one that has everything needs no tester.
fn wanted(c: &ComponentStatus) -> Wanted {
    if c.state.is_terminal() || c.detached {
        return Wanted::Nothing;
    }
    let told = c.preview.as_ref();
    match told.and_then(|p| Some((p.asked.clone()?, p.command.clone()?))) {
        Some((preview, command)) => Wanted::Told { preview, command },
        None => Wanted::AsSpecified,
    }
}

fn clip(text: String) -> String {
    if text.len() <= 1024 {
        return text;
    }
    text.chars().take(512).collect::<String>() + "…"
}
