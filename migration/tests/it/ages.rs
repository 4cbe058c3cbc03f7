//! Which of two Ingresses is the older one, and which pairs of paths nginx does not take at all.

use crate::envoy::get;
use crate::given::{Done, Ingress, accepting, convert_all, convert_with};

const LIST: (&str, &str) = ("whitelist-source-range", "10.0.0.0/8");

fn born(mut ingress: Ingress, when: &str) -> Ingress {
    ingress.0["metadata"]["creationTimestamp"] = when.into();
    ingress
}

fn guarded(path: &str) -> Ingress {
    Ingress::new("a/guarded")
        .note(LIST.0, LIST.1)
        .path("h.com", "Prefix", path, "s")
}

fn open(path: &str) -> Ingress {
    Ingress::new("a/open").path("h.com", "Prefix", path, "s")
}

fn list(done: &Done) -> usize {
    done.objects("AuthorizationPolicy").len()
}

#[test]
fn ages_are_compared_as_moments_and_not_as_text() {
    // An hour before the other one, though its text sorts behind.
    let done = convert_all(&[
        born(guarded("/admin"), "2024-01-01T08:00:00+09:00"),
        born(open("/admin"), "2024-01-01T00:00:00Z"),
    ]);
    assert!(done.told("open", "PATH-DUPLICATE") && list(&done) == 1);
    let done = convert_all(&[
        born(guarded("/admin"), "2024-01-01T00:00:00Z"),
        born(open("/admin"), "2024-01-01T08:00:00+09:00"),
    ]);
    assert!(done.told("guarded", "PATH-DUPLICATE") && list(&done) == 0);
}

#[test]
fn an_age_that_cannot_be_read_is_not_known() {
    for when in ["yesterday", "2024-01-01", "2024-02-30T00:00:00Z"] {
        for [first, second] in [["guarded", "open"], ["open", "guarded"]] {
            let age = |name: &str| {
                if name == first {
                    when
                } else {
                    "2024-01-01T00:00:00Z"
                }
            };
            let done = convert_all(&[
                born(guarded("/admin"), age("guarded")),
                born(open("/admin"), age("open")),
            ]);
            assert!(
                done.told(first, "PATH-AGE") && done.told(second, "PATH-AGE"),
                "{when}"
            );
            assert_eq!(done.answer(&get("h.com", "/admin")), "none", "{when}");
        }
    }
}

#[test]
fn a_path_with_and_without_its_slash_is_refused_where_one_of_the_two_protects() {
    for [guard, plain] in [["/admin", "/admin/"], ["/admin/", "/admin"]] {
        for [old, young] in [[1, 2], [2, 1]] {
            let all = [
                guarded(guard).day(old),
                open(plain).day(young),
                Ingress::new("a/root").path("h.com", "Prefix", "/", "r"),
            ];
            let done = convert_all(&all);
            for name in ["guarded", "open"] {
                assert!(done.told(name, "PATH-PAIR"), "{guard} {old} {name}");
            }
            for path in ["/admin", "/admin/", "/admin/x"] {
                assert_eq!(done.answer(&get("h.com", path)), "503", "{guard} {old} {path}");
            }
            assert_eq!(done.answer(&get("h.com", "/x")), "r /x");
            // Who says so has what the older one says.
            let done = convert_with(&all, &[], &accepting(&["PATH-PAIR"]));
            assert_eq!(list(&done), usize::from(old == 1), "{guard} {old}");
        }
    }
    // Where both protect alike there is nothing to lose.
    let done = convert_all(&[
        open("/admin").day(1),
        Ingress::new("a/more")
            .day(2)
            .path("h.com", "Prefix", "/admin/", "m"),
    ]);
    assert!(done.told("more", "PATH-DUPLICATE"));
    assert_eq!(done.answer(&get("h.com", "/admin/x")), "s /admin/x");
}
