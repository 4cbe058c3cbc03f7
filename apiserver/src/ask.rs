//! A request, understood: which object, by whom, and how strictly.

use super::resource::Resource;
use std::sync::Arc;

/// The part of an object a request is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sub {
    /// The object itself.
    #[default]
    None,
    /// `/status`.
    Status,
    /// `/scale`.
    Scale,
}

impl Sub {
    /// As in the path.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Status => "status",
            Self::Scale => "scale",
        }
    }
}

/// `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Unknown fields are dropped in silence.
    Ignore,
    /// Unknown fields are dropped with a warning.
    #[default]
    Warn,
    /// Unknown fields are refused.
    Strict,
}

/// One request for one resource.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// The resource, in the version of the request.
    pub resource: Arc<Resource>,
    /// `group/version` of the request, kept for field managers.
    pub api_version: String,
    /// The verb, as RBAC names it.
    pub verb: &'static str,
    /// The namespace of the path, or empty.
    pub namespace: String,
    /// The name of the path, or empty.
    pub name: String,
    /// The subresource.
    pub sub: Sub,
    /// Who owns what is written: `fieldManager`, or the User-Agent up to the first `/`.
    pub manager: String,
    /// `fieldManager` as given, or empty.
    pub manager_given: String,
    /// Apply takes fields over from other managers.
    pub force: bool,
    /// Nothing is stored.
    pub dry_run: bool,
    /// What happens to unknown fields.
    pub unknown: Unknown,
    /// The simulation itself writes: status and object in one, no version needed.
    pub trusted: bool,
}

impl Ask {
    /// A request by the simulation.
    pub(super) fn trusted(resource: Arc<Resource>, verb: &'static str, namespace: &str, name: &str) -> Self {
        Self {
            api_version: resource.group_version(),
            resource,
            verb,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            sub: Sub::None,
            manager: "sandbox".to_owned(),
            manager_given: "sandbox".to_owned(),
            force: true,
            dry_run: false,
            unknown: Unknown::Strict,
            trusted: true,
        }
    }
}
