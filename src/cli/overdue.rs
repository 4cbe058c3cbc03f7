//! What is given up, and why: each component has its own reason.

use std::time::Duration;

/// What was waited for in vain, each with what it waits for.
pub(super) fn overdue(waiting: Vec<(String, String)>, timeout: Duration) -> Vec<(String, String)> {
    let late = |why: String| format!("not done within {}s: {why}", timeout.as_secs());
    waiting
        .into_iter()
        .map(|(component, why)| (component, late(why)))
        .collect()
}

/// Components that are given up for one reason.
pub(super) fn alike(components: Vec<String>, why: &str) -> Vec<(String, String)> {
    components
        .into_iter()
        .map(|component| (component, why.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_component_that_is_given_up_is_told_what_it_waits_for_itself() {
        let of = |component: &str, why: &str| (component.to_owned(), why.to_owned());
        let given_up = overdue(
            vec![of("cart", "no control in it"), of("shop", "no answer")],
            Duration::from_secs(5),
        );
        let told = [
            of("cart", "not done within 5s: no control in it"),
            of("shop", "not done within 5s: no answer"),
        ];
        assert_eq!(given_up, told);
    }
}
