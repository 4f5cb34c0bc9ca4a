//! Output templates: the part of Go's that Docker's users write, `{{.Name}}` and `{{json .}}`.

use std::str::FromStr;

use serde_json::Value;

/// Text with fields to be filled in from a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `{{.A.B}}`
    Field(Vec<String>),
    /// `{{json .A.B}}`
    Json(Vec<String>),
}

/// A template that cannot be used, or not for this document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// Go's templates can do more than this.
    #[error(
        "`{0}` is not understood; use `{{{{.Field}}}}`, `{{{{.Field.Of.It}}}}` and `{{{{json .Field}}}}`"
    )]
    Syntax(String),
    /// The document has no such field.
    #[error("there is no field `.{missing}`; `json` as format shows all of them")]
    NoField {
        /// Its path.
        missing: String,
    },
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text == "json" {
            return Ok(Self(vec![Piece::Json(Vec::new())]));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, behind) = after
                .split_once("}}")
                .ok_or_else(|| TemplateError::Syntax(format!("{{{{{after}")))?;
            pieces.push(Piece::Text(plain(before)));
            pieces.push(field(inside.trim())?);
            rest = behind;
        }
        pieces.push(Piece::Text(plain(rest)));
        Ok(Self(pieces))
    }
}

/// Shells pass `\t` and `\n` on as they are, and Docker understands them.
fn plain(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

fn field(inside: &str) -> Result<Piece, TemplateError> {
    let bad = || TemplateError::Syntax(format!("{{{{{inside}}}}}"));
    let (path, is_json) = match inside.strip_prefix("json ") {
        Some(path) => (path.trim(), true),
        None => (inside, false),
    };
    let path = path.strip_prefix('.').ok_or_else(bad)?;
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let path: Vec<String> = match path {
        "" => Vec::new(),
        path if path.split('.').all(is_name) => path.split('.').map(str::to_owned).collect(),
        _ => return Err(bad()),
    };
    Ok(if is_json {
        Piece::Json(path)
    } else {
        Piece::Field(path)
    })
}

impl Template {
    /// Each document filled in, a line each.
    pub(super) fn render_lines(&self, documents: &[Value]) -> Result<String, TemplateError> {
        let mut text = String::new();
        for document in documents {
            for piece in &self.0 {
                match piece {
                    Piece::Text(plain) => text += plain,
                    Piece::Field(path) => text += &shown(look_up(document, path)?),
                    Piece::Json(path) => text += &look_up(document, path)?.to_string(),
                }
            }
            text.push('\n');
        }
        Ok(text)
    }
}

fn look_up<'a>(document: &'a Value, path: &[String]) -> Result<&'a Value, TemplateError> {
    path.iter().try_fold(document, |value, name| {
        value.get(name).ok_or_else(|| TemplateError::NoField {
            missing: path.join("."),
        })
    })
}

/// As Go prints it: texts bare, lists in brackets without commas.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let fields = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", shown(value)));
            format!("map[{}]", fields.collect::<Vec<_>>().join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str) -> Result<String, TemplateError> {
        let document = json!({"Id": "ab", "State": {"Pid": 7, "Tags": ["a", "b"]}, "None": null});
        template.parse::<Template>()?.render_lines(&[document])
    }

    #[test]
    fn fields_are_filled_in_as_go_prints_them() {
        assert_eq!(render("{{.Id}}: {{ .State.Pid }}").unwrap(), "ab: 7\n");
        assert_eq!(
            render("{{.State.Tags}}\\t{{.None}}").unwrap(),
            "[a b]\t<nil>\n"
        );
        assert_eq!(render("{{json .State.Tags}}").unwrap(), "[\"a\",\"b\"]\n");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for template in ["{{range .Id}}", "{{.Id", "{{}}", "{{.A..B}}"] {
            assert!(
                matches!(render(template), Err(TemplateError::Syntax(_))),
                "{template}"
            );
        }
        assert!(matches!(
            render("{{.Nope}}"),
            Err(TemplateError::NoField { .. })
        ));
    }
}
