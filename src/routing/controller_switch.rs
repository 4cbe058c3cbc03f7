//! The controller switch: a mode and a percentage, told to a controller by ConfigMap keys and environment.
//!
//! The percentage is a share of new objects in whole percent. The mode follows it: 0% is `ingress`, anything above is
//! `dual`, so that control can take everything back, and 100% may be asked to be `istio`.

use super::error::RoutingError;
use super::object::ObjectRef;
use super::seen::Reading;
use super::target::WriteMode;
use crate::rollout::router_spec::{AtFull, ControllerSwitch, DeploymentFlags};
use crate::rollout::weight::Weight;

/// What a controller is told about new objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Ingress,
    Dual,
    Istio,
}

impl Mode {
    /// The mode of a weight.
    pub(super) const fn of(weight: Weight, at_full: AtFull) -> Self {
        match (weight, at_full) {
            (Weight::ZERO, _) => Self::Ingress,
            (Weight::FULL, AtFull::Istio) => Self::Istio,
            _ => Self::Dual,
        }
    }

    /// As it is written.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Dual => "dual",
            Self::Istio => "istio",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Ingress, Self::Dual, Self::Istio]
            .into_iter()
            .find(|mode| mode.text() == text)
    }
}

/// The finest weight a controller understands.
pub(super) const FINEST: Weight = match Weight::from_percent(1) {
    Some(weight) => weight,
    None => Weight::FULL,
};

/// The weight as whole percent.
pub(super) fn percent(object: &ObjectRef, place: &str, weight: Weight) -> Result<String, RoutingError> {
    weight
        .whole_percent()
        .map(|percent| percent.to_string())
        .ok_or_else(|| RoutingError::TooFine {
            object: object.clone(),
            place: place.to_owned(),
            weight,
            finest: FINEST,
        })
}

/// The weight that a lowering writes: what a percentage says already, where that is less.
pub(super) fn never_above(says: Option<&str>, weight: Weight) -> Weight {
    let known = says.and_then(|text| Weight::from_percent(text.parse().ok()?));
    known.map_or(weight, |known| known.min(weight))
}

/// The keys of the ConfigMap and their values at a weight.
pub(super) fn keys(weight_percent: String, mode: Mode) -> [(&'static str, String); 3] {
    [
        ("networking_mode", mode.text().to_owned()),
        ("istio_percentage", weight_percent),
        ("enable_istio_monitoring", "true".to_owned()),
    ]
}

/// The variables of the container and their values at a weight.
pub(super) fn variables(
    switch: &ControllerSwitch,
    weight_percent: String,
    mode: Mode,
) -> Vec<(&'static str, String)> {
    let percentage = ("ISTIO_PERCENTAGE", weight_percent);
    let on = |yes: bool| yes.to_string();
    let mut variables = match switch.flags.unwrap_or_default() {
        DeploymentFlags::Mode => vec![
            ("NETWORKING_MODE", mode.text().to_owned()),
            percentage,
            ("ENABLE_ISTIO_MONITORING", on(true)),
        ],
        DeploymentFlags::Switches => vec![
            ("USE_ISTIO_NETWORKING", on(mode != Mode::Ingress)),
            ("USE_INGRESS_NETWORKING", on(mode != Mode::Istio)),
            ("ISTIO_ENABLED", on(mode != Mode::Ingress)),
            percentage,
        ],
        DeploymentFlags::Webhook => vec![("ENABLE_ISTIO_WEBHOOKS", on(mode != Mode::Ingress)), percentage],
    };
    // What Istio's side needs to know. Where nothing goes there it is nobody's business, and a rollback touches as
    // little as it can.
    if mode != Mode::Ingress {
        let known = [
            ("ISTIO_GATEWAY", &switch.gateway),
            (MUTATING, &switch.mutating_annotations),
        ];
        let given = known
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)));
        variables.extend(given);
    }
    variables
}

const MUTATING: &str = "VIRTUALSERVICE_MUTATING_ANNOTATIONS";

/// The variables that an emergency sets, and that the first raise after it takes back.
pub(super) const EMERGENCY: &str = "EMERGENCY_ROLLBACK";
pub(super) const EMERGENCY_AT: &str = "ROLLBACK_TIMESTAMP";

/// What an emergency adds to the variables. One that `stands` already keeps its time: another would restart the pods of
/// the controller that the traffic is on. A raise after one says that it is over, or the controller would go on
/// refusing new objects.
pub(super) fn emergency(
    mode: WriteMode,
    weight: Weight,
    (flagged, stands): (bool, bool),
) -> Vec<(&'static str, String)> {
    match mode {
        WriteMode::Emergency { .. } if stands => Vec::new(),
        WriteMode::Emergency { at } => vec![(EMERGENCY, "true".into()), (EMERGENCY_AT, at.to_string())],
        WriteMode::Normal if flagged && !weight.is_zero() => vec![(EMERGENCY, "false".into())],
        WriteMode::Normal => Vec::new(),
    }
}

/// Reads mode and percentage by the names they have in one object.
pub(super) struct Reader<'a, F> {
    pub(super) object: &'a ObjectRef,
    /// The value under a name; `None` when there is none.
    pub(super) value: F,
    /// What a name is called in messages.
    pub(super) prefix: &'static str,
}

impl<'j, F: Fn(&str) -> Option<&'j str>> Reader<'_, F> {
    /// The most and the least that the canary may be getting, and where that stands. A mode that contradicts the
    /// percentage splits them: either may be what the controller goes by.
    pub(super) fn read(&self, percentage: &str, mode: Option<Mode>) -> Result<Vec<Reading>, RoutingError> {
        let share = self.get(percentage).map(|text| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse()
                .ok()
                .filter(|_| digits)
                .and_then(Weight::from_percent)
                .ok_or_else(|| self.bad(percentage, text, "a whole percentage from 0 to 100"))
        });
        let share = share.transpose()?.unwrap_or(Weight::ZERO);
        let mut readings = vec![Reading {
            place: format!("{}{percentage}", self.prefix),
            weight: share,
        }];
        let by_mode = match mode {
            Some(Mode::Ingress) => Some(Weight::ZERO),
            Some(Mode::Istio) => Some(Weight::FULL),
            Some(Mode::Dual) | None => None,
        };
        readings.extend(by_mode.filter(|weight| *weight != share).map(|weight| Reading {
            place: format!("{}mode", self.prefix),
            weight,
        }));
        Ok(readings)
    }

    /// The mode under one name.
    pub(super) fn mode(&self, name: &str) -> Result<Option<Mode>, RoutingError> {
        self.get(name)
            .map(|text| Mode::parse(text).ok_or_else(|| self.bad(name, text, "one of ingress, dual, istio")))
            .transpose()
    }

    /// The mode that three switches say.
    pub(super) fn switches(&self) -> Result<Option<Mode>, RoutingError> {
        let istio = self.switch("USE_ISTIO_NETWORKING")?;
        let enabled = self.switch("ISTIO_ENABLED")?;
        let ingress = self.switch("USE_INGRESS_NETWORKING")?;
        Ok(match (istio, enabled, ingress) {
            (None, None, None) => None,
            (Some(false), _, Some(false)) => {
                return Err(self.bad("USE_INGRESS_NETWORKING", "false", "true while Istio is off too"));
            }
            (Some(false), ..) | (_, Some(false), _) => Some(Mode::Ingress),
            (Some(true), _, Some(false)) => Some(Mode::Istio),
            _ => Some(Mode::Dual),
        })
    }

    /// The mode that the admission webhook's switch says.
    pub(super) fn webhook(&self) -> Result<Option<Mode>, RoutingError> {
        let enabled = self.switch("ENABLE_ISTIO_WEBHOOKS")?;
        Ok(enabled.map(|on| if on { Mode::Dual } else { Mode::Ingress }))
    }

    fn switch(&self, name: &str) -> Result<Option<bool>, RoutingError> {
        self.get(name)
            .map(|text| {
                text.to_ascii_lowercase()
                    .parse()
                    .map_err(|_| self.bad(name, text, "true or false"))
            })
            .transpose()
    }

    /// An empty value is what an unset variable looks like to a program.
    fn get(&self, name: &str) -> Option<&'j str> {
        (self.value)(name).filter(|text| !text.is_empty())
    }

    fn bad(&self, name: &str, found: &str, wanted: &'static str) -> RoutingError {
        RoutingError::BadValue {
            object: self.object.clone(),
            path: format!("{}{name}", self.prefix),
            found: format!("{found:?}"),
            wanted,
        }
    }
}
