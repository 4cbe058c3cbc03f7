//! `-o`: a form of the output for every command, and for `init` and `incident`, which write files, where they go.

use super::args::Output;
use super::exit::Failure;
use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, Command};
use std::ffi::OsStr;
use std::path::PathBuf;

/// What `-o` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputTo {
    /// A form.
    Form(Output),
    /// A folder, or `-`.
    Place(PathBuf),
}

impl OutputTo {
    /// The form that is asked for; the default where a place is.
    pub(super) fn form(given: Option<&Self>) -> Output {
        match given {
            Some(Self::Form(form)) => *form,
            Some(Self::Place(_)) | None => Output::default(),
        }
    }

    /// The folder that is asked for; `None` for the standard output.
    pub(super) fn folder(given: Option<&Self>) -> Result<Option<PathBuf>, Failure> {
        match given {
            None | Some(Self::Form(Output::Yaml)) => Ok(None),
            Some(Self::Place(place)) if place.as_os_str() == "-" => Ok(None),
            Some(Self::Place(place)) => Ok(Some(place.clone())),
            Some(Self::Form(Output::Table | Output::Wide | Output::Json)) => Err(Failure::usage(
                "init writes YAML: -o FOLDER for a file of each resource, -o - for the standard output (a folder of that name: -o ./json)",
            )),
        }
    }
}

/// Reads `-o`.
#[derive(Clone, Debug)]
pub(super) struct OutputToParser;

impl TypedValueParser for OutputToParser {
    type Value = OutputTo;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<OutputTo, clap::Error> {
        let form = EnumValueParser::<Output>::new().parse_ref(cmd, arg, value);
        match form {
            Ok(form) => Ok(OutputTo::Form(form)),
            Err(_) if ["init", "incident"].contains(&cmd.get_name()) && !value.is_empty() => {
                Ok(OutputTo::Place(PathBuf::from(value)))
            }
            Err(error) => Err(error),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        use clap::ValueEnum as _;
        Some(Box::new(
            Output::value_variants()
                .iter()
                .filter_map(clap::ValueEnum::to_possible_value),
        ))
    }
}
