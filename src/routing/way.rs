//! By which router an object says a weight. What only some of them have is asked for here, so that nobody else has to
//! list the others.

use super::gateway_api::Rules;
use super::hook::Called;
use super::istio::Routes;
use super::nginx::Canary;
use crate::rollout::router_spec::{ControllerSwitch, Manual};

/// By which router an object says a weight.
#[derive(Clone, Debug)]
pub(super) enum Way<'a> {
    Istio(Routes<'a>),
    GatewayApi(Rules<'a>),
    ConfigMap(&'a ControllerSwitch),
    Deployment(&'a ControllerSwitch),
    Restart,
    Nginx(Canary<'a>),
    Hook(Called<'a>),
    Manual(&'a Manual),
}

impl<'a> Way<'a> {
    /// The routes of a `VirtualService`.
    pub(super) fn istio(&self) -> Option<&Routes<'a>> {
        if let Self::Istio(routes) = self {
            Some(routes)
        } else {
            None
        }
    }

    /// The rules of a route of the Gateway API.
    pub(super) fn gateway_api(&self) -> Option<&Rules<'a>> {
        if let Self::GatewayApi(rules) = self {
            Some(rules)
        } else {
            None
        }
    }

    /// The canary Ingress that we make.
    pub(super) fn nginx(&self) -> Option<&Canary<'a>> {
        if let Self::Nginx(canary) = self {
            Some(canary)
        } else {
            None
        }
    }

    /// The hook that is called.
    pub(super) fn hook(&self) -> Option<Called<'a>> {
        if let Self::Hook(called) = self {
            Some(*called)
        } else {
            None
        }
    }

    /// What a person is to do.
    pub(super) fn manual(&self) -> Option<&'a Manual> {
        if let Self::Manual(by_hand) = self {
            Some(by_hand)
        } else {
            None
        }
    }

    /// The Deployment's variables that are the controller's switch.
    pub(super) fn deployment(&self) -> Option<&'a ControllerSwitch> {
        if let Self::Deployment(switch) = self {
            Some(switch)
        } else {
            None
        }
    }
}
