//! How nginx finds a location by name: exact, else the longest prefix, else the redirect to a final slash.

use std::collections::BTreeMap;

/// What one name holds: an exact location, a prefix location, or both. Numbers are the caller's.
#[derive(Debug, Clone, Default)]
struct Entry {
    exact: Option<usize>,
    prefix: Option<usize>,
}

/// The locations of one server that are no regular expressions.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(BTreeMap<Vec<u8>, Entry>);

/// What a path meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A location; regular expressions are not asked any more.
    Exact(usize),
    /// The longest prefix; regular expressions come before it.
    Prefix(usize),
    /// The location has the path with a slash behind it: 301. Regular expressions are not asked any more.
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

impl Names {
    /// A name used twice in the same way is what nginx calls a duplicate location, and does not start with.
    pub(super) fn new<'a>(named: impl IntoIterator<Item = Named<'a>>) -> Result<Self, String> {
        let mut entries: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
        for Named { name, exact, number } in named {
            let entry = entries.entry(name.as_bytes().to_vec()).or_default();
            let place = if exact {
                &mut entry.exact
            } else {
                &mut entry.prefix
            };
            if place.replace(number).is_some() {
                return Err(format!("duplicate location {name:?}"));
            }
        }
        Ok(Self(entries))
    }

    /// Looks a normalised path up.
    ///
    /// nginx redirects to a proxying location whose name has one slash more, be it a prefix or exact; every location
    /// of ingress-nginx proxies.
    pub(super) fn find(&self, path: &[u8]) -> Found {
        match self.0.get(path) {
            Some(Entry {
                exact: Some(number), ..
            }) => return Found::Exact(*number),
            Some(Entry {
                prefix: Some(number), ..
            }) => return Found::Prefix(*number),
            Some(_) | None => {}
        }
        let slashed = [path, b"/"].concat();
        if let Some(number) = self
            .0
            .get(&slashed)
            .and_then(|entry| entry.exact.or(entry.prefix))
        {
            return Found::AddSlash(number);
        }
        let prefixes = (1..path.len()).rev().filter_map(|length| path.get(..length));
        let longest = prefixes
            .filter_map(|prefix| self.0.get(prefix))
            .find_map(|entry| entry.prefix);
        longest.map_or(Found::Nothing, Found::Prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[(&'static str, bool)]) -> Names {
        Names::new(names.iter().enumerate().map(|(number, (name, exact))| Named {
            name,
            exact: *exact,
            number,
        }))
        .unwrap()
    }

    #[test]
    fn exact_wins_then_the_longest_prefix() {
        let names = names(&[("/", false), ("/a/", false), ("/a", true), ("/a/b/", false)]);
        assert_eq!(names.find(b"/a"), Found::Exact(2));
        assert_eq!(names.find(b"/a/"), Found::Prefix(1));
        assert_eq!(names.find(b"/a/b/c"), Found::Prefix(3));
        assert_eq!(names.find(b"/ab"), Found::Prefix(0));
    }

    #[test]
    fn a_name_with_a_slash_more_is_a_redirect_even_an_exact_one() {
        assert_eq!(
            names(&[("/", false), ("/sl/", false)]).find(b"/sl"),
            Found::AddSlash(1)
        );
        assert_eq!(
            names(&[("/", false), ("/sl/", true)]).find(b"/sl"),
            Found::AddSlash(1)
        );
        // `-` sorts before `/` in ASCII, and must not hide it.
        assert_eq!(
            names(&[("/", false), ("/a-b/", false), ("/a/", false)]).find(b"/a"),
            Found::AddSlash(2)
        );
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
        assert!(Names::new(twice).is_err());
    }
}
