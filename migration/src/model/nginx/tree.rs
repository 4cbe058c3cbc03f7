//! How nginx finds a location without regular expressions: a tree of names, walked one step at a time.
//!
//! Written down as a tree, and not as "the longest prefix", because the tree shows where the two part: the redirect
//! from `/x` to a location `/x/` is only noticed when the walk passes that location. Beside a location such as
//! `/x-y/` (`-` sorts before `/`) it may not.

use std::collections::BTreeMap;

/// What one name holds: an exact location, a prefix location, or both. Numbers are the caller's.
#[derive(Debug, Clone, Default)]
struct Entry {
    exact: Option<usize>,
    inclusive: Option<usize>,
}

#[derive(Debug, Clone)]
struct Node {
    name: Vec<u8>,
    entry: Entry,
    left: Tree,
    right: Tree,
    /// Names that go on from here.
    below: Tree,
}

type Tree = Option<Box<Node>>;

/// The locations of one server that are no regular expressions.
#[derive(Debug, Clone, Default)]
pub(super) struct Locations(Tree);

/// What the walk ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A location; regular expressions are not asked any more.
    Exact(usize),
    /// The longest prefix; regular expressions come before it.
    Prefix(usize),
    /// The location has the path with a slash behind it: 301.
    AddSlash(usize),
    /// Nothing.
    Nothing,
}

/// One location: its name, whether it is exact, and the caller's number for it.
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) exact: bool,
    pub(super) number: usize,
}

impl Locations {
    /// Builds the tree; a name used twice in the same way is what nginx calls a duplicate location, and does not
    /// start with.
    pub(super) fn new<'a>(named: impl IntoIterator<Item = Named<'a>>) -> Result<Self, String> {
        let mut entries: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
        for Named { name, exact, number } in named {
            let entry = entries.entry(name.as_bytes().to_vec()).or_default();
            let place = if exact {
                &mut entry.exact
            } else {
                &mut entry.inclusive
            };
            if place.replace(number).is_some() {
                return Err(format!("duplicate location {name:?}"));
            }
        }
        Ok(Self(grow(entries.into_iter().collect(), 0)))
    }

    /// Walks the tree for a normalised path.
    pub(super) fn find(&self, path: &[u8]) -> Found {
        let mut found = Found::Nothing;
        let mut rest = path;
        let mut here = self.0.as_deref();
        while let Some(node) = here {
            let shared = rest.len().min(node.name.len());
            let (ours, theirs) = (
                rest.get(..shared).unwrap_or_default(),
                node.name.get(..shared).unwrap_or_default(),
            );
            match ours.cmp(theirs) {
                std::cmp::Ordering::Less => here = node.left.as_deref(),
                std::cmp::Ordering::Greater => here = node.right.as_deref(),
                std::cmp::Ordering::Equal if rest.len() > node.name.len() => {
                    if let Some(inclusive) = node.entry.inclusive {
                        found = Found::Prefix(inclusive);
                        rest = rest.get(shared..).unwrap_or_default();
                        here = node.below.as_deref();
                    } else {
                        here = node.right.as_deref();
                    }
                }
                std::cmp::Ordering::Equal if rest.len() == node.name.len() => {
                    return match (node.entry.exact, node.entry.inclusive) {
                        (Some(exact), _) => Found::Exact(exact),
                        (None, Some(inclusive)) => Found::Prefix(inclusive),
                        (None, None) => found,
                    };
                }
                std::cmp::Ordering::Equal => {
                    // Every location of ingress-nginx proxies, and nginx redirects to those with a final slash.
                    let slashed = rest.len() + 1 == node.name.len() && node.name.last() == Some(&b'/');
                    if let (true, Some(number)) = (slashed, node.entry.exact.or(node.entry.inclusive)) {
                        found = Found::AddSlash(number);
                    }
                    here = node.left.as_deref();
                }
            }
        }
        found
    }
}

/// A balanced tree of sorted names, of which the first `cut` bytes are those of the prefix above.
fn grow(entries: Vec<(Vec<u8>, Entry)>, cut: usize) -> Tree {
    balance(group(entries), cut)
}

/// A name with the names that begin with it, where it is a prefix location.
type Group = (Vec<u8>, Entry, Vec<(Vec<u8>, Entry)>);

fn group(entries: Vec<(Vec<u8>, Entry)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (name, entry) in entries {
        match groups.last_mut() {
            Some((
                prefix,
                Entry {
                    inclusive: Some(_), ..
                },
                below,
            )) if name.starts_with(prefix) => {
                below.push((name, entry));
            }
            _ => groups.push((name, entry, Vec::new())),
        }
    }
    groups
}

fn balance(mut groups: Vec<Group>, cut: usize) -> Tree {
    let mut after = groups.split_off(groups.len() / 2);
    if after.is_empty() {
        return None;
    }
    let (name, entry, below) = after.remove(0);
    Some(Box::new(Node {
        left: balance(groups, cut),
        right: balance(after, cut),
        below: grow(below, name.len()),
        name: name.get(cut..).unwrap_or_default().to_vec(),
        entry,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[(&'static str, bool)]) -> Locations {
        Locations::new(names.iter().enumerate().map(|(number, (name, exact))| Named {
            name,
            exact: *exact,
            number,
        }))
        .unwrap()
    }

    #[test]
    fn exact_wins_then_the_longest_prefix() {
        let tree = tree(&[("/", false), ("/a/", false), ("/a", true), ("/a/b/", false)]);
        assert_eq!(tree.find(b"/a"), Found::Exact(2));
        assert_eq!(tree.find(b"/a/"), Found::Prefix(1));
        assert_eq!(tree.find(b"/a/b/c"), Found::Prefix(3));
        assert_eq!(tree.find(b"/ab"), Found::Prefix(0));
    }

    #[test]
    fn a_name_with_a_slash_more_is_a_redirect() {
        let tree = tree(&[("/", false), ("/sl/", false)]);
        assert_eq!(tree.find(b"/sl"), Found::AddSlash(1));
    }

    #[test]
    fn a_neighbour_that_sorts_between_can_hide_the_redirect() {
        let tree = tree(&[("/", false), ("/a-b/", false), ("/a/", false), ("/a0/", false)]);
        assert_eq!(tree.find(b"/a"), Found::AddSlash(2));
        let tree = self::tree(&[("/", false), ("/Z/", false), ("/a-b/", false), ("/a/", false)]);
        assert_eq!(tree.find(b"/a"), Found::Prefix(0));
    }

    #[test]
    fn the_same_name_twice_is_refused() {
        let twice = [
            Named {
                name: "/a/",
                exact: false,
                number: 0,
            },
            Named {
                name: "/a/",
                exact: false,
                number: 1,
            },
        ];
        assert!(Locations::new(twice).is_err());
    }
}
