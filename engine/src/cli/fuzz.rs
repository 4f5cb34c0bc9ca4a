//! Targets of fuzzing: formats of output.
#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how each of them tells of a broken promise"
)]

use serde_json::json;

use super::template::Template;
use crate::fuzz::text;

/// A template is filled in, or is refused; text without fields stays as it is.
pub fn template(data: &[u8]) {
    let text = text(data);
    let document = json!({"ID": "ab", "State": {"Pid": 7, "Tags": ["a", null]}, "Size": 1.5});
    let filled = text
        .parse::<Template>()
        .and_then(|template| template.render_lines(&[document]));
    let is_plain = !text.contains("{{") && !text.contains('\\');
    if is_plain && text != "json" && !text.starts_with("table ") {
        assert_eq!(filled, Ok(format!("{text}\n")));
    }
}
