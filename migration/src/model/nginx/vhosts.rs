//! Which server a host name meets: exact names, wildcard names, then regular expressions in order, else the catch-all.
//!
//! A wildcard host of an Ingress is a regular expression of one label; a wildcard alias is nginx's own, of any number
//! of labels, and comes before it.

use std::collections::BTreeMap;

use super::written::Server;

/// What a name may meet.
pub(super) enum Vhost<'a> {
    Server(&'a Server),
    /// A server that only redirects to this host.
    Www(&'a str),
}

#[derive(Debug)]
enum Target {
    Server(usize),
    Www(usize),
}

/// All names of a configuration.
#[derive(Debug)]
pub(super) struct Vhosts {
    servers: Vec<Server>,
    www: Vec<(String, String)>,
    exact: BTreeMap<String, Target>,
    /// Aliases `*.x`, without the star, the longest first.
    suffixes: Vec<(String, usize)>,
    /// Hosts `*.x`, without star and dot.
    one_label: Vec<(String, usize)>,
    /// An alias that the model cannot match.
    beyond: Option<String>,
}

impl Vhosts {
    /// `www` are the hosts that want a redirect from their other form.
    pub(super) fn new(servers: Vec<Server>, www: &[String]) -> Self {
        let mut vhosts = Self {
            www: www_redirects(&servers, www),
            exact: BTreeMap::new(),
            suffixes: Vec::new(),
            one_label: Vec::new(),
            beyond: None,
            servers: Vec::new(),
        };
        // Redirecting servers are written first, and of two servers of one name nginx keeps the first.
        for (number, (from, _)) in vhosts.www.iter().enumerate() {
            vhosts
                .exact
                .entry(from.to_ascii_lowercase())
                .or_insert(Target::Www(number));
        }
        for (number, server) in servers.iter().enumerate() {
            match server.host.strip_prefix("*.") {
                Some(rest) => vhosts.one_label.push((rest.to_ascii_lowercase(), number)),
                None => {
                    vhosts
                        .exact
                        .entry(server.host.to_ascii_lowercase())
                        .or_insert(Target::Server(number));
                }
            }
            for alias in &server.aliases {
                vhosts.alias(alias, number);
            }
        }
        vhosts
            .suffixes
            .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        vhosts.servers = servers;
        vhosts
    }

    fn alias(&mut self, alias: &str, number: usize) {
        let plain = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        };
        match alias.strip_prefix('*') {
            Some(suffix) if suffix.starts_with('.') && plain(suffix) => {
                self.suffixes.push((suffix.to_ascii_lowercase(), number));
            }
            None if plain(alias) && !alias.starts_with('.') => {
                self.exact
                    .entry(alias.to_ascii_lowercase())
                    .or_insert(Target::Server(number));
            }
            Some(_) | None => self.beyond = Some(format!("server-alias {alias}")),
        }
    }

    pub(super) fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub(super) fn www(&self) -> &[(String, String)] {
        &self.www
    }

    /// The server of a host name without port, in lower case.
    pub(super) fn find(&self, host: &str) -> Result<Vhost<'_>, String> {
        let server = |number: usize| {
            self.servers
                .get(number)
                .map(Vhost::Server)
                .ok_or_else(|| "a server without a number".to_owned())
        };
        match self.exact.get(host) {
            Some(Target::Server(number)) => return server(*number),
            Some(Target::Www(number)) => {
                if let Some((_, to)) = self.www.get(*number) {
                    return Ok(Vhost::Www(to));
                }
            }
            None => {}
        }
        if let Some(reason) = &self.beyond {
            return Err(reason.clone());
        }
        if let Some((_, number)) = self
            .suffixes
            .iter()
            .find(|(suffix, _)| host.len() > suffix.len() && host.ends_with(suffix.as_str()))
        {
            return server(*number);
        }
        if let Some((label, rest)) = host.split_once('.')
            && label_of_words(label)
            && let Some((_, number)) = self.one_label.iter().find(|(wildcard, _)| wildcard == rest)
        {
            return server(*number);
        }
        let catch_all = self.servers.iter().find(|server| server.host == "_");
        catch_all
            .map(Vhost::Server)
            .ok_or_else(|| "no catch-all server".to_owned())
    }
}

/// `[\w-]+`.
fn label_of_words(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Each wish becomes a server of its own, unless the other form is a host already.
fn www_redirects(servers: &[Server], wishes: &[String]) -> Vec<(String, String)> {
    let from = |to: &String| match to.strip_prefix("www.") {
        Some(bare) => bare.to_owned(),
        None => format!("www.{to}"),
    };
    let redirects = wishes.iter().map(|to| (from(to), to.clone()));
    redirects
        .filter(|(from, _)| !servers.iter().any(|server| server.host == *from))
        .collect()
}
