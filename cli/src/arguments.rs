//! Values of the command line that several commands take, checked as they are read.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use privyseal_envelope::{Format, Item, Name, NameError, Namespace, Scope};

/// A scope, by its word.
pub(crate) fn scope_parser() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.map(Scope::as_str))
        .try_map(|text| text.parse::<Scope>().map_err(|error| error.to_string()))
}

/// A format, by its word.
pub(crate) fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::as_str))
        .try_map(|text| text.parse::<Format>().map_err(|error| error.to_string()))
}

/// A namespace of the command line.
pub(crate) fn parse_namespace(text: &str) -> Result<Namespace, NameError> {
    Namespace::parse(text)
}

/// A name of the command line.
pub(crate) fn parse_name(text: &str) -> Result<Name, NameError> {
    Name::parse(text)
}

/// An item of the command line.
pub(crate) fn parse_item(text: &str) -> Result<Item, NameError> {
    Item::parse(text)
}
