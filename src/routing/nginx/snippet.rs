//! What a snippet of nginx configuration does to a split, as far as its words tell.

/// The gravest thing that a snippet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Snippet {
    /// It answers or rewrites before nginx chooses.
    Answers,
    /// It sends another Host on.
    SetsHost,
    /// Something else.
    Other,
}

/// What stands for the client's own Host.
const OWN: [&str; 4] = ["$host", "$http_host", "$best_http_host", "$this_host"];

/// Reads a snippet.
pub(super) fn read(snippet: &str) -> Snippet {
    let mut words = snippet.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    if words.any(|word| word == "return" || word == "rewrite") {
        Snippet::Answers
    } else if snippet.split([';', '{', '}', '\n']).any(sets_host) {
        Snippet::SetsHost
    } else {
        Snippet::Other
    }
}

/// Whether a directive gives the request another Host than the client's.
fn sets_host(directive: &str) -> bool {
    let bare = |word: &str| word.trim_matches(['"', '\'']).to_ascii_lowercase();
    let mut words = directive.split_whitespace();
    let (name, rest): (&str, Vec<String>) = (words.next().unwrap_or_default(), words.map(bare).collect());
    let is_own = |value: &str| OWN.contains(&value);
    match (name, rest.as_slice()) {
        ("proxy_set_header" | "grpc_set_header", [header, value, ..]) => {
            matches!(header.as_str(), "host" | ":authority") && !is_own(value)
        }
        // nginx's own Host is made of this variable.
        ("set", [variable, value, ..]) => variable == "$best_http_host" && !is_own(value),
        // "Host: value" in one word or in two.
        ("more_set_input_headers", all) => {
            let told = all.join(" ");
            told.split_once("host:")
                .is_some_and(|(_, value)| !is_own(value.trim().trim_matches(['"', '\''])))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_than_the_clients_is_seen_however_it_is_written() {
        for text in [
            "proxy_set_header Host other.example.com;",
            "proxy_set_header  \"host\"  $http_x_host;",
            "more_set_headers \"X: 1\";\ngrpc_set_header :authority inner;",
            "set $best_http_host inner.example.com;",
            "if ($x) { proxy_set_header Host y; }",
            "more_set_input_headers 'Host: inner';",
        ] {
            assert_eq!(read(text), Snippet::SetsHost, "{text}");
        }
        for text in [
            "proxy_set_header Host $http_host;",
            "proxy_set_header Host \"$host\";",
            "proxy_set_header X-Host other.example.com;",
            "more_set_headers \"X: returned\";",
        ] {
            assert_eq!(read(text), Snippet::Other, "{text}");
        }
        for text in [
            "return 403;",
            "if ($x) { return 301 /; }",
            "rewrite ^/x /y break;",
        ] {
            assert_eq!(read(text), Snippet::Answers, "{text}");
        }
    }
}
