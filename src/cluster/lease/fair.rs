//! Who should hold how many shards: nobody two more than anybody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Each shard and its living holder, as the keepers of one daemon see them.
pub(super) type Table = Arc<watch::Sender<BTreeMap<u32, String>>>;

/// How many shards somebody holds.
pub(super) fn count(table: &BTreeMap<u32, String>, who: &str) -> usize {
    table.values().filter(|holder| *holder == who).count()
}

/// The shard to ask for: one of whoever holds two more than we do, and the most. As long as one is free nobody is
/// asked.
pub(super) fn asks(table: &BTreeMap<u32, String>, me: &str, shards: u32) -> Option<u32> {
    if table.len() < usize::try_from(shards).unwrap_or(usize::MAX) {
        return None;
    }
    let holds = |shard: &u32| table.get(shard).map_or(0, |holder| count(table, holder));
    let richest = table.keys().max_by_key(|shard| (holds(shard), **shard))?;
    (holds(richest) >= count(table, me) + 2).then_some(*richest)
}

/// Whether one of our shards goes to whoever asks for it.
pub(super) fn gives(table: &BTreeMap<u32, String>, me: &str, asker: &str) -> bool {
    asker != me && !asker.is_empty() && count(table, me) >= count(table, asker) + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks and gives until nobody does any more; how many shards each ends with.
    fn settle(mut table: BTreeMap<u32, String>, daemons: &[&str]) -> (Vec<usize>, usize) {
        let shards = u32::try_from(table.len()).unwrap();
        let mut moves = 0;
        loop {
            let wish = daemons
                .iter()
                .find_map(|me| Some((*me, asks(&table, me, shards)?)));
            let Some((asker, shard)) = wish else { break };
            assert!(gives(&table, &table[&shard].clone(), asker), "asked for nothing");
            table.insert(shard, asker.to_owned());
            moves += 1;
            assert!(moves <= shards, "it never ends");
        }
        (
            daemons.iter().map(|me| count(&table, me)).collect(),
            moves.try_into().unwrap(),
        )
    }

    #[test]
    fn shards_end_evenly_whoever_held_them_and_then_nothing_moves() {
        for shards in 1..=9_u32 {
            for daemons in 1..=4_usize {
                let all: Vec<&str> = ["a", "b", "c", "d"].into_iter().take(daemons).collect();
                for first in 0..daemons {
                    let table = (0..shards)
                        .map(|n| (n, all[if n % 3 == 0 { first } else { 0 }].to_owned()))
                        .collect();
                    let (ends, _) = settle(table, &all);
                    let (most, least) = (ends.iter().max().unwrap(), ends.iter().min().unwrap());
                    assert!(most - least <= 1, "{shards} shards: {ends:?}");
                }
            }
        }
        let even = BTreeMap::from([(0, "a".to_owned()), (1, "b".to_owned()), (2, "a".to_owned())]);
        assert_eq!(settle(even, &["a", "b"]).1, 0, "what is even stays where it is");
    }

    #[test]
    fn who_holds_one_keeps_it_and_a_free_shard_is_taken_rather_than_asked_for() {
        let one = BTreeMap::from([(0, "a".to_owned())]);
        assert!(!gives(&one, "a", "b"));
        assert_eq!(asks(&one, "b", 1), None);
        let free = BTreeMap::from([(0, "a".to_owned()), (1, "a".to_owned())]);
        assert_eq!(asks(&free, "b", 3), None);
        assert_eq!(asks(&free, "b", 2), Some(1));
    }
}
