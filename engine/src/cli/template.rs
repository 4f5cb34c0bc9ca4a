//! Output templates: the part of Go's that Docker's users write.
//!
//! ```text
//! {{.Name}}  {{json .}}  {{.Config.Env | json}}  {{join .Args " "}}  {{upper .Name}}
//! {{range .Mounts}}{{.Source}} {{end}}  {{range $i, $e := .Args}}{{$i}}={{$e}} {{end}}
//! {{if .State.Running}}…{{else}}…{{end}}  {{with .Config}}…{{end}}  {{index .Labels "a.b"}}
//! {{if eq .State.Status "running"}}…  {{println .Id}}  {{len .Args}}  {{split .Name "-"}}
//! ```
//!
//! [`parse`] makes a tree of the text, [`render`] fills it in from a JSON document.

mod functions;
mod parse;
mod render;

use std::str::FromStr;

use serde_json::Value;

use parse::Node;

/// Text with actions to be carried out on a JSON document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    nodes: Vec<Node>,
    layout: Layout,
}

/// How documents are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// A line each.
    Lines,
    /// A table with a heading: `table {{.ID}}\t{{.Names}}`.
    Table,
}

/// A template that cannot be used, or not for this document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// Go's templates can do more than this.
    #[error(
        "`{0}` is not understood; keel knows fields (`{{{{.A.B}}}}`), range, if, else, with, end, variables, \
         and the functions {known}", known = functions::NAMES
    )]
    Syntax(String),
    /// A block was not closed, or nothing was open.
    #[error("`{0}` has no counterpart: each if, range and with needs an `{{{{end}}}}`")]
    Unbalanced(String),
    /// The document has no such field.
    #[error("there is no field `.{missing}`; `json` as format shows all of them")]
    NoField {
        /// Its path.
        missing: String,
    },
    /// A function was given what it cannot work on.
    #[error("`{function}` cannot be used on {what}")]
    Argument {
        /// Its name.
        function: String,
        /// What it was given.
        what: String,
    },
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        if text == "json" {
            return Self::lines("{{json .}}");
        }
        match text.strip_prefix("table ") {
            Some(columns) => Ok(Self {
                nodes: parse::parse(columns)?,
                layout: Layout::Table,
            }),
            None => Self::lines(text),
        }
    }
}

impl Template {
    fn lines(text: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            nodes: parse::parse(text)?,
            layout: Layout::Lines,
        })
    }

    /// Each document filled in, a line each.
    pub(super) fn render_lines(&self, documents: &[Value]) -> Result<String, TemplateError> {
        self.render_rows(&[], documents)
    }

    /// The same; if it is to be a table, with the fields' titles above.
    pub(super) fn render_rows(
        &self,
        titles: &[(&str, &str)],
        documents: &[Value],
    ) -> Result<String, TemplateError> {
        let lines: Result<Vec<String>, _> = documents
            .iter()
            .map(|document| render::render(&self.nodes, document))
            .collect();
        let lines = lines?;
        match self.layout {
            Layout::Lines => Ok(lines
                .iter()
                .fold(String::new(), |text, line| text + line + "\n")),
            Layout::Table => {
                let mut all = vec![self.heading(titles)];
                all.extend(lines);
                Ok(super::table::align(&all))
            }
        }
    }

    fn heading(&self, known: &[(&str, &str)]) -> String {
        let title = |field: &str| {
            let known = known.iter().find(|(_, name)| *name == field);
            known.map_or_else(|| title(field), |(title, _)| (*title).to_owned())
        };
        let titles = self.nodes.iter().map(|node| match node {
            Node::Text(text) => text.clone(),
            Node::Show(pipeline) => pipeline.last_field().map(&title).unwrap_or_default(),
            Node::Set(..) | Node::If { .. } | Node::Range { .. } | Node::With { .. } => {
                String::new()
            }
        });
        titles.collect()
    }
}

/// A field's title, in Docker's way: `CreatedAt` is above its column as `CREATED AT`.
fn title(field: &str) -> String {
    let mut title = String::new();
    let mut before = ' ';
    for letter in field.chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            title.push(' ');
        }
        title.push(letter.to_ascii_uppercase());
        before = letter;
    }
    title
}

#[cfg(test)]
mod tests;
