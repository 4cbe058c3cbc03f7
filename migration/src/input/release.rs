//! Which release of ingress-nginx a controller is, and what depends on that.

use serde_json::Value;

/// A release, as far as it is told by an image's tag. Its own numbers begin with 0 and 1; other tags are years, builds and
/// the numbers of whoever built the image, and tell nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(u32, u32, u32);

impl Release {
    /// That of an image, as `registry.k8s.io/ingress-nginx/controller:v1.9.4@sha256:…`.
    pub fn of_image(image: &str) -> Option<Self> {
        let named = image.split_once('@').map_or(image, |(named, _)| named);
        let (_, last) = named.rsplit_once('/').unwrap_or(("", named));
        let (_, tag) = last.split_once(':')?;
        let tag = tag.strip_prefix('v').unwrap_or(tag);
        let plain = tag.split(['-', '+', '_']).next()?;
        let numbers: Option<Vec<u32>> = plain.split('.').map(|part| part.parse().ok()).collect();
        match numbers?.as_slice() {
            [major @ (0 | 1), minor, patch] => Some(Self(*major, *minor, *patch)),
            _ => None,
        }
    }

    /// Whether snippets are in force where nobody says anything: they were until 1.9.0.
    fn takes_snippets(self) -> bool {
        self < Self(1, 9, 0)
    }

    /// Whether it reads `allow-snippet-annotations`, which came with 0.49.1 and 1.0.1.
    fn can_forbid(self) -> bool {
        self >= Self(0, 49, 1) && self != Self(1, 0, 0)
    }
}

/// Whether a controller acts upon snippets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snippets {
    /// It does.
    Live,
    /// Nobody knows which release it is, so they have to be taken as if it did.
    Perhaps,
    /// It does not.
    Inert,
}

impl Snippets {
    /// What `allow-snippet-annotations` says, where it can be read, to a controller of a release, where that is known.
    pub fn of(said: Option<bool>, release: Option<Release>) -> Self {
        match (said, release) {
            (None, None) => Self::Perhaps,
            (Some(false), Some(release)) if !release.can_forbid() => Self::Live,
            (None, Some(release)) if release.takes_snippets() => Self::Live,
            (Some(true), _) => Self::Live,
            (Some(false) | None, _) => Self::Inert,
        }
    }
}

/// A switch of a controller's ConfigMap, as Go's `strconv.ParseBool` reads it.
pub fn switch(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The release of the controller that a workload runs; `None` where its image does not tell.
pub(super) fn release(container: &Value) -> Option<Release> {
    Release::of_image(container.get("image")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_known_by_a_tag_of_the_project_and_by_no_other() {
        for (image, wanted) in [
            (
                "registry.k8s.io/ingress-nginx/controller:v1.9.4@sha256:5b16",
                Some((1, 9, 4)),
            ),
            ("quay.io:443/x/nginx-ingress-controller:0.26.1", Some((0, 26, 1))),
            ("controller:1.11.3-debian-12-r0", Some((1, 11, 3))),
            ("controller:v1.12.0-beta.0", Some((1, 12, 0))),
            ("controller", None),
            ("controller@sha256:5b16", None),
            ("localhost:5000/controller", None),
            ("controller:latest", None),
            ("controller:v1.9", None),
            ("controller:2024.10.1", None),
            ("controller:nginx-1.9.4-rancher1", None),
        ] {
            let wanted = wanted.map(|(major, minor, patch)| Release(major, minor, patch));
            assert_eq!(Release::of_image(image), wanted, "{image}");
        }
    }

    #[test]
    fn snippets_are_inert_only_where_that_is_certain() {
        let of = |said, tag: &str| Snippets::of(said, Release::of_image(&format!("controller:{tag}")));
        for (said, tag, wanted) in [
            (None, "v1.8.4", Snippets::Live),
            (None, "v1.9.0", Snippets::Inert),
            (None, "v1.10.1", Snippets::Inert),
            (None, "own", Snippets::Perhaps),
            (Some(true), "v1.12.0", Snippets::Live),
            (Some(false), "own", Snippets::Inert),
            (Some(false), "v1.5.1", Snippets::Inert),
            // They do not know the key.
            (Some(false), "v1.0.0", Snippets::Live),
            (Some(false), "0.48.0", Snippets::Live),
        ] {
            assert_eq!(of(said, tag), wanted, "{said:?} {tag}");
        }
    }
}
