//! The objects as they are kept until they are written: typed, and made to values one by one. Values of thousands of
//! objects are some hundred megabytes, typed they are a fifth of that.

use super::Failed;
use super::gateway_api::Routes;
use crate::istio::{
    AuthorizationPolicy, DestinationRule, Gateway, NotWritten, Object, VirtualService, to_yaml,
};
use crate::rules::{Broken, Checker};
use serde::Serialize;
use serde_json::Value;

/// Objects in the order in which they are written.
#[derive(Clone, Debug)]
pub struct Objects(pub(super) Kept);

/// How they are kept.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Istio(Vec<Made>),
    GatewayApi(Box<Routes>),
}

/// An object of Istio.
#[derive(Clone, Debug)]
pub(super) enum Made {
    Gateway(Object<Gateway>),
    VirtualService(Box<Object<VirtualService>>),
    DestinationRule(Object<DestinationRule>),
    AuthorizationPolicy(Object<AuthorizationPolicy>),
}

impl Made {
    fn value(&self) -> Result<Value, Failed> {
        match self {
            Self::Gateway(object) => value(object),
            Self::VirtualService(object) => value(object),
            Self::DestinationRule(object) => value(object),
            Self::AuthorizationPolicy(object) => value(object),
        }
    }
}

fn value(object: &impl Serialize) -> Result<Value, Failed> {
    serde_json::to_value(object).map_err(|error| Failed(error.to_string()))
}

impl Objects {
    /// Each as a value.
    pub fn values(&self) -> Box<dyn Iterator<Item = Result<Value, Failed>> + '_> {
        match &self.0 {
            Kept::Istio(all) => Box::new(all.iter().map(Made::value)),
            Kept::GatewayApi(routes) => Box::new(routes.iter().map(Ok)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values().next().is_none()
    }

    /// Each as a YAML document, all but the first behind the line that separates it.
    pub fn yaml(&self) -> impl Iterator<Item = Result<String, Failed>> + '_ {
        self.values().enumerate().map(|(at, object)| {
            let text = to_yaml(&[object?]).map_err(|error: NotWritten| Failed(error.to_string()))?;
            Ok(if at == 0 { text } else { format!("---\n{text}") })
        })
    }

    /// Hands over every object that breaks a rule.
    pub(super) fn check(&self, mut tell: impl FnMut(&Value, Vec<Broken>)) -> Result<(), Failed> {
        let grants: Vec<Value> = match &self.0 {
            Kept::Istio(_) => Vec::new(),
            Kept::GatewayApi(routes) => routes.grants().to_vec(),
        };
        let mut checker = Checker::new(&grants);
        for object in self.values() {
            let object = object?;
            let broken = checker.take(&object);
            if !broken.is_empty() {
                tell(&object, broken);
            }
        }
        Ok(())
    }
}
