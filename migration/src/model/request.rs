//! A request as a proxy reads it: bytes, before anybody decoded anything.

use std::fmt;

use super::answer::Octets;

/// How the client reached the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS, with the request's host as SNI.
    Https,
}

impl Scheme {
    /// As it is written in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// One request at the edge.
///
/// The path is the raw request target up to its first `?`, the query what follows it. Header names are lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// In clear or over TLS.
    pub scheme: Scheme,
    /// The port the client connected to.
    pub port: u16,
    /// The method, upper case as on the wire.
    pub method: String,
    /// The Host header or `:authority`, as sent: possibly with a port, possibly in capitals.
    pub host: String,
    /// The raw path; begins with `/`.
    pub path: Octets,
    /// What follows the `?`, when there is one.
    pub query: Option<Octets>,
    /// Other headers.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// A GET of `target` (path and query) on the scheme's usual port.
    pub fn get(scheme: Scheme, host: &str, target: impl AsRef<[u8]>) -> Self {
        let target = target.as_ref();
        let mut halves = target.splitn(2, |byte| *byte == b'?');
        Self {
            scheme,
            port: scheme.default_port(),
            method: "GET".to_owned(),
            host: host.to_owned(),
            path: Octets(halves.next().unwrap_or_default().to_vec()),
            query: halves.next().map(|query| Octets(query.to_vec())),
            headers: Vec::new(),
        }
    }

    /// The same over another port, such as a listener of its own for one proxy behind another.
    #[must_use]
    pub fn on_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The same with another method.
    #[must_use]
    pub fn with_method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Path and query as they stand in the request line.
    pub fn target(&self) -> Octets {
        join(&self.path.0, self.query.as_ref().map(|query| query.0.as_slice()))
    }

    /// Whether the path is spelt so that both proxies read it as it stands: no escapes, no doubled slash, no dot
    /// segments, no characters that one of them escapes. On other paths they differ whatever the routes are.
    pub fn has_plain_path(&self) -> bool {
        let path = self.path.0.as_slice();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@[]".contains(byte);
        let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
        let mut clean = path.first() == Some(&b'/') && path.iter().all(plain);
        while let Some(segment) = segments.next() {
            let inner_and_empty = segment.is_empty() && segments.peek().is_some();
            let dots = segment == b"."
                || segment == b".."
                || segment.starts_with(b".;")
                || segment.starts_with(b"..;");
            clean &= !inner_and_empty && !dots;
        }
        clean
    }

    /// The host without its port, in lower case, without a final dot: what nginx compares names with.
    pub fn host_name(&self) -> String {
        let name = self.host_without_port();
        name.strip_suffix('.').map(str::to_owned).unwrap_or(name)
    }

    /// The host without its port, in lower case: what Envoy compares names with.
    pub fn host_without_port(&self) -> String {
        let name = match self.host.strip_prefix('[') {
            // An IPv6 address has colons of its own.
            Some(rest) => rest
                .split_once(']')
                .map_or(self.host.as_str(), |(address, _)| address),
            None => self.host.split(':').next().unwrap_or_default(),
        };
        name.to_ascii_lowercase()
    }

    /// A header's value; several of one name are one list, as HTTP has it.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}

/// One line: lists of requests are read in failing tests.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {:?}", self.headers)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}://{}", self.method, self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, " (port {})", self.port)?;
        }
        write!(f, "{}", self.target())
    }
}

/// A path with its query behind it, where there is one.
pub(crate) fn join(path: &[u8], query: Option<&[u8]>) -> Octets {
    let mut whole = path.to_vec();
    if let Some(query) = query {
        whole.push(b'?');
        whole.extend_from_slice(query);
    }
    Octets(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_cut_at_its_first_question_mark() {
        let request = Request::get(Scheme::Http, "A.b:8080", "/x?y?z");
        assert_eq!(request.path, Octets::from("/x"));
        assert_eq!(request.query, Some(Octets::from("y?z")));
        assert_eq!(request.target(), Octets::from("/x?y?z"));
        assert_eq!(request.host_name(), "a.b");
    }

    #[test]
    fn plain_paths_are_those_nobody_rewrites() {
        let plain = |path: &str| Request::get(Scheme::Http, "h", path).has_plain_path();
        assert!(["/", "/a", "/a/", "/a.b/..c?//%"].into_iter().all(plain));
        assert!(
            !["//", "/a//b", "/.", "/a/../b", "/%61", "/a|b", "/a/..;x"]
                .into_iter()
                .any(plain)
        );
    }

    #[test]
    fn an_empty_query_is_still_one() {
        assert_eq!(
            Request::get(Scheme::Http, "a", "/x?").target(),
            Octets::from("/x?")
        );
    }
}
