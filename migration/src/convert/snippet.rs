//! Snippets: the few directives that are only headers, and those that do no harm. Everything else refuses the route.

use super::annotations::Annotations;
use super::headers;
use super::settings::Settings;
use crate::input::Snippets;
use crate::istio::Headers;
use crate::report::Code;

/// Sizes and times that have no counterpart and protect nothing by themselves.
const HARMLESS: &[&str] = &[
    "client_header_buffer_size",
    "large_client_header_buffers",
    "client_body_buffer_size",
    "proxy_buffer_size",
    "proxy_buffers",
    "proxy_busy_buffers_size",
    "proxy_buffering",
    "proxy_request_buffering",
    "gzip",
    "gzip_types",
    "keepalive_timeout",
    "send_timeout",
    "proxy_http_version",
    "proxy_pass_header",
];

/// Why it is taken as if it were in force.
const PERHAPS: &str = "allow-snippet-annotations is not said, and which release the controller is is not known: before 1.9.0 \
                       snippets are in force";

/// A directive with its words, and what stands in its braces.
#[derive(Debug, PartialEq, Eq)]
struct Directive {
    words: Vec<String>,
    block: Option<Vec<Directive>>,
}

/// Reads the three snippets of an Ingress.
pub(super) fn read(notes: &Annotations<'_>, settings: &Settings, into: &mut Headers) {
    for name in ["configuration-snippet", "server-snippet", "stream-snippet"] {
        let Some(text) = notes.text(name) else { continue };
        if settings.snippets == Snippets::Inert {
            notes.note(Code::SnippetInert, name);
            continue;
        }
        let unknown = |detail: String| match settings.snippets {
            Snippets::Perhaps => format!("{detail}; {PERHAPS}"),
            Snippets::Live | Snippets::Inert => detail,
        };
        let Some(directives) = parse(text) else {
            notes.note_with(Code::Snippet, name, unknown("it cannot be read".to_owned()));
            continue;
        };
        for directive in &directives {
            if !apply(notes, name, directive, into) {
                let words = directive.words.join(" ");
                notes.note_with(Code::Snippet, name, unknown(format!("{words:?}")));
            }
        }
    }
}

/// Whether the directive was understood.
fn apply(notes: &Annotations<'_>, name: &str, directive: &Directive, into: &mut Headers) -> bool {
    let words: Vec<&str> = directive.words.iter().map(String::as_str).collect();
    let location = name == "configuration-snippet";
    if let Some(block) = &directive.block {
        let only_cache = block.iter().all(|inner| {
            let words: Vec<&str> = inner.words.iter().map(String::as_str).collect();
            inner.block.is_none()
                && (matches!(words.as_slice(), ["expires", ..])
                    || matches!(words.as_slice(), ["add_header", name, ..] if name.eq_ignore_ascii_case("cache-control")))
        });
        if words.first() == Some(&"if") && only_cache {
            notes.note(Code::CacheHeaders, name);
            return true;
        }
        return false;
    }
    let plain = |text: &str| !text.contains('$');
    match words.as_slice() {
        [word, ..] if HARMLESS.contains(word) => {
            notes.note_with(Code::SnippetHarmless, name, (*word).to_owned());
            true
        }
        ["more_set_headers", all @ ..] if location && !all.is_empty() => all.iter().all(|header| {
            let Some((key, value)) = header.split_once(':') else {
                return false;
            };
            if header.starts_with('-') || !plain(value) {
                return false;
            }
            // An empty value takes the header away.
            match value.trim() {
                "" => headers::remove(notes, name, &mut into.response, key.trim()),
                value => headers::set(notes, name, &mut into.response, key.trim(), value),
            }
            true
        }),
        ["more_clear_headers", all @ ..] if location && !all.is_empty() => all.iter().all(|header| {
            let header = header.trim().trim_end_matches(':');
            let fits = headers::is_name(header) && !header.contains('*');
            if fits {
                headers::remove(notes, name, &mut into.response, header);
            }
            fits
        }),
        // nginx adds one more of it, and what is written here replaces: the application's cookies, or the first of two.
        ["add_header", key, ..]
            if key.eq_ignore_ascii_case("set-cookie")
                || into.response.set.contains_key(&key.to_ascii_lowercase()) =>
        {
            false
        }
        ["add_header", key, value] | ["add_header", key, value, "always"] if location && plain(value) => {
            headers::set(notes, name, &mut into.response, key, value);
            true
        }
        ["proxy_hide_header", key] if location && headers::is_name(key) => {
            headers::remove(notes, name, &mut into.response, key);
            true
        }
        ["proxy_set_header", key, value] if location && usual(key, value).is_some() => {
            match usual(key, value) {
                Some(Usual::Variable(variable)) => headers::set_variable(&mut into.request, key, variable),
                Some(Usual::Host) if notes.given("upstream-vhost").is_some() => return false,
                Some(Usual::Host | Usual::Same) | None => {
                    notes.note_with(Code::SnippetHarmless, name, directive.words.join(" "));
                }
            }
            true
        }
        ["proxy_set_header", key, value] if location && plain(value) && !key.eq_ignore_ascii_case("host") => {
            match *value {
                "" => headers::remove(notes, name, &mut into.request, key),
                value => headers::set(notes, name, &mut into.request, key, value),
            }
            true
        }
        _ => false,
    }
}

/// What many snippets say, and what the gateway does or can be told.
enum Usual {
    /// It does so by itself, as does the controller.
    Same,
    /// The same, where the back end is told no other host.
    Host,
    /// It knows the value by another name.
    Variable(&'static str),
}

/// Connections and their upgrades are the gateway's own matter, whatever is said of them; hosts, schemes and addresses it
/// passes on.
fn usual(header: &str, value: &str) -> Option<Usual> {
    const ADDRESS: &str = "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT";
    let header = header.to_ascii_lowercase();
    match (header.as_str(), value) {
        ("upgrade", "$http_upgrade")
        | (
            "connection",
            "$connection_upgrade" | "$http_connection" | "upgrade" | "Upgrade" | "close" | "keep-alive" | "",
        )
        | ("x-forwarded-for", "$proxy_add_x_forwarded_for")
        | ("x-forwarded-proto", "$scheme" | "$pass_access_scheme") => Some(Usual::Same),
        ("host", "$host" | "$http_host" | "$best_http_host") => Some(Usual::Host),
        ("x-real-ip" | "x-forwarded-for", "$remote_addr" | "$the_real_ip") => Some(Usual::Variable(ADDRESS)),
        ("x-forwarded-host", "$http_host" | "$best_http_host") => Some(Usual::Variable("REQ(:AUTHORITY)")),
        _ => None,
    }
}

/// Directives of a text; none where it makes no sense.
fn parse(text: &str) -> Option<Vec<Directive>> {
    let mut chars = text.chars().peekable();
    let directives = block(&mut chars, 0)?;
    chars.next().is_none().then_some(directives)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Deeper nesting is surely no plain header.
const DEEPEST: usize = 8;

fn block(chars: &mut Chars<'_>, depth: usize) -> Option<Vec<Directive>> {
    let mut all = Vec::new();
    let mut words: Vec<String> = Vec::new();
    loop {
        let Some(c) = chars.peek().copied() else {
            return (words.is_empty() && depth == 0).then_some(all);
        };
        match c {
            c if c.is_whitespace() => {
                chars.next();
            }
            '#' => while chars.next().is_some_and(|c| c != '\n') {},
            ';' => {
                chars.next();
                if !words.is_empty() {
                    let words = std::mem::take(&mut words);
                    all.push(Directive { words, block: None });
                }
            }
            '{' => {
                chars.next();
                if depth == DEEPEST {
                    return None;
                }
                let inner = block(chars, depth + 1)?;
                let words = std::mem::take(&mut words);
                all.push(Directive {
                    words,
                    block: Some(inner),
                });
            }
            '}' => {
                chars.next();
                return (words.is_empty() && depth > 0).then_some(all);
            }
            '"' | '\'' => {
                chars.next();
                words.push(quoted(chars, c)?);
            }
            _ => {
                let mut word = String::new();
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !";{}".contains(*c)) {
                    word.push(c);
                }
                words.push(word);
            }
        }
    }
}

fn quoted(chars: &mut Chars<'_>, end: char) -> Option<String> {
    let mut word = String::new();
    loop {
        match chars.next()? {
            '\\' => match chars.next()? {
                c if c == end || c == '\\' => word.push(c),
                c => word.extend(['\\', c]),
            },
            c if c == end => return Some(word),
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_taken_apart_with_quotes_comments_and_blocks() {
        let text = "# all\nmore_set_headers \"A: b; c\" 'D: e';\nif ($x ~* \\.(js|css)) { expires 30d; }";
        let read = parse(text).unwrap();
        assert_eq!(read[0].words, ["more_set_headers", "A: b; c", "D: e"]);
        assert_eq!(read[1].block.as_ref().unwrap()[0].words, ["expires", "30d"]);
        for bad in ["a", "a { b;", "}", "\"a", "a b } ;"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert!(parse(&"a {".repeat(100_000)).is_none());
    }
}
