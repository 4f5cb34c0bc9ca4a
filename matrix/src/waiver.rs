//! Waivers: failures that a policy lives with, for a stated time.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::glob::Glob;
use crate::select::Selection;

/// One failure that is known, owned and lived with until a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Which cases, as a glob over their ids.
    pub case: Glob,
    /// In which cells; absent: in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<Selection>,
    /// Who answers for it.
    pub owner: String,
    /// Why it is lived with.
    pub reason: String,
    /// The requirement or clause of a specification that is not met.
    pub clause: String,
    /// The last day on which it holds.
    #[serde(deserialize_with = "date_or_text")]
    #[schemars(with = "String")]
    pub expires: Date,
}

impl Waiver {
    /// Whether a failure of `case` in `cell` is covered, whatever the day.
    pub fn covers(&self, case: &str, cell: &Cell) -> bool {
        self.case.matches(case) && self.cells.as_ref().is_none_or(|cells| cells.matches(cell))
    }

    /// Whether the waiver has lost its force by `today`.
    pub fn is_expired(&self, today: Date) -> bool {
        today > self.expires
    }
}

/// TOML has dates of its own, JSON has text: both are read.
fn date_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Toml(toml::value::Datetime),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Text(text) => text,
        Written::Toml(date) => date.to_string(),
    };
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!("`{text}` is no date: expected `YYYY-MM-DD`"))
    })
}
