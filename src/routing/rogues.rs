//! Istio: rules that bear our name and that nobody asked for. They take requests to the canary whatever its weight says.

use super::istio::Routes;
use super::patch::Draft;
use super::preview::{by_cookie, http, is_own, memory, remove_rule, sum};
use super::seen::text;
use serde_json::Value;

impl Routes<'_> {
    /// Rules that bear our name and take requests to the canary that nobody asked for: those that we do not remember, and
    /// those that somebody made to match more than testers.
    fn rogues<'j>(&self, json: &'j Value) -> Vec<(usize, &'j str)> {
        let memory = memory(self.component, json).filter(|_| self.takes_previews());
        let is_rogue = |name: &str, rule: &Value| match &memory {
            Some(memory) => match memory.rules.get(name) {
                Some(known) => sum(rule) != *known && is_open(rule, Some(&memory.asked)),
                None => true,
            },
            None => is_open(rule, None),
        };
        let own = http(json).iter().enumerate().filter(|(_, route)| {
            self.takes_previews() && is_own(self.component, route) && !self.goes_to_control_alone(route)
        });
        own.filter_map(|(at, rule)| Some((at, text(rule, "/name")?, rule)))
            .filter(|(_, name, rule)| is_rogue(name, rule))
            .map(|(at, name, _)| (at, name))
            .collect()
    }

    /// What lets requests choose the canary whatever the weight says, in words; `None` when nothing does.
    pub(super) fn choosers(&self, json: &Value) -> Option<String> {
        let rogues = self.rogues(json);
        let names: Vec<String> = rogues
            .iter()
            .map(|(_, name)| format!("the rule {name}"))
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// Takes those rules off.
    pub(super) fn take_off_rogues(&self, json: &Value, draft: &mut Draft<'_>) {
        // From the last to the first, so that each place is still where it was.
        for (at, name) in self.rogues(json).into_iter().rev() {
            draft.versioned();
            remove_rule(at, name, draft);
        }
    }
}

/// Whether a rule takes more than testers: each of its conditions has to have a header that tells them, one of those that
/// were asked for where that is known.
fn is_open(rule: &Value, asked: Option<&str>) -> bool {
    let tells = |(name, value): (&String, &Value)| {
        let Some(asked) = asked else { return true };
        let exact = value.get("exact").and_then(Value::as_str);
        let header = exact.map(|exact| format!("header {name}={exact}"));
        let cookies = asked.split(", ").filter_map(|one| one.strip_prefix("cookie "));
        // What follows the last of them may be the command's id.
        let pairs = cookies.filter_map(|one| one.split(' ').next()?.split_once('='));
        let mut pairs = pairs.filter(|_| name == "cookie");
        let by_cookie = pairs.any(|(cookie, wanted)| *value == by_cookie(cookie, wanted));
        by_cookie || header.is_some_and(|header| asked.split(", ").any(|one| one == header))
    };
    let matches = rule
        .get("match")
        .and_then(Value::as_array)
        .filter(|all| !all.is_empty());
    let by_header = |condition: &Value| {
        let headers = condition.get("headers").and_then(Value::as_object);
        headers.is_some_and(|headers| headers.iter().any(tells))
    };
    !matches.is_some_and(|all| all.iter().all(by_header))
}
