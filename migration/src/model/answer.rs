//! What became of a request.

use std::fmt;

/// Bytes of a path or an address. They need not be UTF-8, and read well in a failing test.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Octets(pub Vec<u8>);

impl Octets {
    /// As text, with anything unusual escaped.
    pub fn escaped(&self) -> String {
        self.0.escape_ascii().to_string()
    }
}

impl From<&str> for Octets {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escaped())
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.escaped())
    }
}

/// A Service's port as the object names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Port {
    /// By number.
    Number(u16),
    /// By name: only the Service knows its number.
    Name(String),
    /// Not at all: the Service has just one.
    Only,
}

impl Port {
    /// Whether both may be the same port. Only two different numbers or two different names cannot.
    pub fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::Name(a), Self::Name(b)) => a == b,
            (Self::Number(_), Self::Name(_) | Self::Only)
            | (Self::Name(_), Self::Number(_) | Self::Only)
            | (Self::Only, Self::Number(_) | Self::Name(_) | Self::Only) => true,
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
            Self::Only => f.write_str("(its only port)"),
        }
    }
}

/// A request as it arrives at a back end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arrival {
    /// The Service's namespace; empty where the destination is no Service of the cluster.
    pub namespace: String,
    /// The Service, or the whole host name where it is none of the cluster.
    pub service: String,
    /// The Service's port.
    pub port: Port,
    /// Path and query sent to it.
    pub target: Octets,
    /// The Host header sent to it.
    pub host: String,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is sent on.
    Backend(Arrival),
    /// The client is sent elsewhere.
    Redirect {
        /// The status.
        code: u16,
        /// The Location header.
        location: Octets,
    },
    /// The proxy answers by itself.
    Status(u16),
    /// There is no listener on the port, or no TLS server for the name: no HTTP is spoken at all.
    Refused,
    /// The model cannot say; the reason, as a rule the annotation's or the field's name.
    Unsupported(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(to) => write!(
                f,
                "{}/{}:{} gets {} for host {}",
                to.namespace, to.service, to.port, to.target, to.host
            ),
            Self::Redirect { code, location } => write!(f, "{code} to {location}"),
            Self::Status(code) => write!(f, "{code}"),
            Self::Refused => f.write_str("connection refused"),
            Self::Unsupported(what) => write!(f, "not modelled: {what}"),
        }
    }
}
