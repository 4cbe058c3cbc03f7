//! What there is to say about several components, in one message: sentences are told whole or counted, and never cut off.

use std::collections::BTreeSet;

/// Where the rest of what a condition says stands.
pub const IN_STATUS: &str = "status.components has each one's message";
/// Names that are told of those of whom the same is said.
const NAMED: usize = 8;

/// The sentences that there is room for, in characters, and how many more there are: `rest` says where those are.
pub fn told(sentences: &[String], room: usize, rest: &str) -> String {
    let length = |text: &str| text.chars().count();
    let all = sentences.join("; ");
    if length(&all) <= room {
        return all;
    }
    let more = |n: usize| format!("; and {n} more: {rest}");
    let room = room.saturating_sub(length(&more(sentences.len())));
    let mut told = String::new();
    let mut count = 0;
    for sentence in sentences {
        let between = if told.is_empty() { "" } else { "; " };
        if length(&told) + length(between) + length(sentence) > room {
            break;
        }
        told = format!("{told}{between}{sentence}");
        count += 1;
    }
    if let (0, Some(first)) = (count, sentences.first()) {
        let head: String = first.chars().take(room.saturating_sub(1)).collect();
        told = format!("{head}…");
        count = 1;
    }
    match sentences.len().saturating_sub(count) {
        0 => told,
        n => format!("{told}{}", more(n)),
    }
}

/// What became of a command for each of its components. Where there is no room for all of them, those of whom the same is
/// said are told together, and those who were refused first.
pub fn answers(answers: &[(String, Result<String, String>)], room: usize) -> String {
    let text = |answer: &Result<String, String>| match answer {
        Ok(text) | Err(text) => text.clone(),
    };
    let each = answers
        .iter()
        .map(|(name, answer)| format!("{name}: {}", text(answer)));
    let each: Vec<String> = each.collect();
    if each.join("; ").chars().count() <= room {
        return each.join("; ");
    }
    let mut groups: Vec<(bool, String, Vec<&str>)> = Vec::new();
    for (name, answer) in answers {
        let said = text(answer);
        match groups.iter_mut().find(|(_, known, _)| *known == said) {
            Some((_, _, names)) => names.push(name),
            None => groups.push((answer.is_ok(), said, vec![name])),
        }
    }
    groups.sort_by_key(|(well, _, _)| *well);
    let sentences = groups.into_iter().map(|(_, said, names)| {
        let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        match names.len().saturating_sub(NAMED) {
            0 => format!("{shown}: {said}"),
            n => format!("{shown} and {n} more: {said}"),
        }
    });
    let sentences: Vec<String> = sentences.collect();
    told(
        &sentences,
        room,
        "give the command to fewer components at a time to be told of each",
    )
}

/// The part of such a message that is about a component, to its end; `None` where it is not named. `names` are the names
/// that there are.
pub fn about<'m>(message: &'m str, component: &str, names: &BTreeSet<&str>) -> Option<&'m str> {
    let mut found: Option<usize> = None;
    let mut at = 0_usize;
    for part in message.split("; ") {
        let head = part.split_once(": ").map(|(head, _)| head);
        let said = head.map(|head| {
            let end = head.find(" and ").unwrap_or(head.len());
            head.get(..end).unwrap_or(head).split(", ").collect::<Vec<_>>()
        });
        let begins = said
            .as_ref()
            .is_some_and(|said| said.iter().all(|name| names.contains(name)));
        let more = part.starts_with("and ") && part.contains(" more: ");
        match found {
            Some(from) if begins || more => return message.get(from..at.saturating_sub(2)),
            None if begins && said.is_some_and(|said| said.contains(&component)) => {
                found = Some(at + head.map_or(0, str::len) + 2);
            }
            Some(_) | None => {}
        }
        at += part.len() + 2;
    }
    found.and_then(|from| message.get(from..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(
        n: usize,
        text: impl Fn(usize) -> Result<String, String>,
    ) -> Vec<(String, Result<String, String>)> {
        (0..n).map(|i| (format!("tenant-{i}"), text(i))).collect()
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_no_sentence_is_cut_off() {
        let many = said(64, |i| Ok(format!("going to {i}% ({})", "x".repeat(60))));
        let message = answers(&many, 2048);
        assert!(message.chars().count() <= 2048, "{}", message.len());
        let (told, rest) = message.rsplit_once("; and ").unwrap();
        let told: Vec<&str> = told.split("; ").collect();
        assert!(told.iter().all(|one| one.ends_with("x)")), "{told:?}");
        let more: usize = rest.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(told.len() + more, 64);
        let few = said(2, |_| Ok("going to 10%".to_owned()));
        assert_eq!(
            answers(&few, 2048),
            "tenant-0: going to 10%; tenant-1: going to 10%"
        );
        let alone = super::told(&["y".repeat(300)], 100, "there");
        assert!(alone.ends_with('…') && alone.chars().count() <= 100, "{alone}");
    }

    #[test]
    fn of_many_who_are_refused_for_one_reason_it_is_said_once_and_first() {
        let why = format!(
            "it is paused: resume it first; --force does it all the same {}",
            "x".repeat(60)
        );
        let many = said(64, |i| {
            if i == 7 {
                Ok("going to 10%".to_owned())
            } else {
                Err(why.clone())
            }
        });
        let message = answers(&many, 2048);
        assert!(message.starts_with("tenant-0, tenant-1, "), "{message}");
        assert!(
            message.contains("tenant-6, tenant-8 and 55 more: it is paused"),
            "{message}"
        );
        assert!(message.ends_with("; tenant-7: going to 10%"), "{message}");
        let names: Vec<String> = many.into_iter().map(|(name, _)| name).collect();
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(
            about(&message, "tenant-3", &names),
            Some(why.as_str()),
            "to its end"
        );
        assert_eq!(about(&message, "tenant-7", &names), Some("going to 10%"));
        assert_eq!(about(&message, "tenant-40", &names), None);
        assert_eq!(about("no component is named x; there are y", "y", &names), None);
    }
}
