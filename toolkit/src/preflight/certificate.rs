//! What a Secret's certificate says of itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;

/// One that ends sooner is said to.
pub(crate) const SOON: SignedDuration = SignedDuration::from_hours(24 * 14);

/// The first certificate of a chain, which is the server's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The names it is for, in lower case.
    pub names: Vec<String>,
    /// When it ends.
    pub ends: Timestamp,
}

impl Certificate {
    /// The one in a Secret; why there is none that can be read.
    pub(crate) fn of(secret: &Value) -> Result<Self, String> {
        let encoded = secret
            .pointer("/data/tls.crt")
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or("it has no tls.crt")?;
        if secret
            .pointer("/data/tls.key")
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            return Err("it has no tls.key".to_owned());
        }
        let text = STANDARD
            .decode(encoded)
            .map_err(|error| format!("tls.crt is no base64: {error}"))?;
        Self::read(&text)
    }

    /// The one in a Secret, as long as it lasts; why it cannot be used.
    pub(crate) fn usable(secret: &Value, now: Timestamp) -> Result<Self, String> {
        let read = Self::of(secret)?;
        if read.ends <= now {
            return Err(format!(
                "its certificate ended {}, and clients take none that ended; renew it first",
                read.ends
            ));
        }
        Ok(read)
    }

    /// In what it falls short for some hosts: a line each.
    pub(crate) fn short<'a>(&self, hosts: impl Iterator<Item = &'a str>, now: Timestamp) -> Vec<String> {
        let uncovered: Vec<&str> = hosts.filter(|host| !self.covers(host)).collect();
        let mut says = Vec::new();
        if !uncovered.is_empty() {
            says.push(format!(
                "the certificate has not the names {}",
                uncovered.join(", ")
            ));
        }
        if self.ends.duration_since(now) < SOON {
            says.push(format!("the certificate ends {}", self.ends));
        }
        says
    }

    fn read(text: &[u8]) -> Result<Self, String> {
        let pem = Pem::iter_from_buffer(text)
            .next()
            .ok_or("tls.crt is no PEM")?
            .map_err(|error| format!("tls.crt is no PEM: {error}"))?;
        Self::decoded(&pem.contents)
    }

    /// The one in DER.
    pub(crate) fn decoded(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der)
            .map_err(|error| format!("tls.crt is no certificate: {error}"))?;
        let alternatives = parsed
            .subject_alternative_name()
            .map_err(|error| format!("the names of tls.crt cannot be read: {error}"))?;
        let mut names: Vec<String> = Vec::new();
        for alternative in alternatives.iter().flat_map(|found| &found.value.general_names) {
            if let GeneralName::DNSName(dns) = alternative {
                names.push(dns.to_ascii_lowercase());
            }
        }
        let ends = Timestamp::from_second(parsed.validity().not_after.timestamp())
            .map_err(|error| format!("the end of tls.crt cannot be read: {error}"))?;
        Ok(Self { names, ends })
    }

    /// Whether a client that asks for `host` accepts it, as far as names go.
    pub(crate) fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| covers(name, host))
    }
}

/// Whether a name of a certificate, which may begin with `*.`, stands for a host, which may be such a wildcard too.
pub(crate) fn covers(name: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    if name == host {
        return true;
    }
    let Some(domain) = name.strip_prefix("*.") else {
        return false;
    };
    host.split_once('.')
        .is_some_and(|(label, rest)| !label.is_empty() && label != "*" && rest == domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(covers("*.a.com", "x.a.com") && covers("*.a.com", "*.a.com") && covers("a.com", "A.com"));
        assert!(
            !covers("*.a.com", "a.com") && !covers("*.a.com", "x.y.a.com") && !covers("x.a.com", "*.a.com")
        );
    }

    #[test]
    fn names_and_end_are_read_from_pem() {
        let mut wanted =
            rcgen::CertificateParams::new(vec!["Shop.a.com".to_owned(), "*.b.com".to_owned()]).unwrap();
        wanted.not_after = rcgen::date_time_ymd(2027, 3, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let text = wanted.self_signed(&key).unwrap().pem();
        let read = Certificate::read(text.as_bytes()).unwrap();
        assert_eq!(read.names, ["shop.a.com", "*.b.com"]);
        assert_eq!(read.ends.to_string(), "2027-03-01T00:00:00Z");
        assert!(read.covers("x.b.com") && !read.covers("b.com"));
        assert!(Certificate::read(b"nonsense").unwrap_err().contains("no PEM"));
    }
}
