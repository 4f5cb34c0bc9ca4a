//! A template's tree, filled in from a document.

use serde_json::Value;

use super::TemplateError;
use super::functions;
use super::parse::{Node, Operand, Pipeline};

/// Fills it in.
pub(super) fn render(nodes: &[Node], document: &Value) -> Result<String, TemplateError> {
    let mut scope = Scope {
        root: document,
        variables: Vec::new(),
        text: String::new(),
    };
    scope.all(nodes, document)?;
    Ok(scope.text)
}

struct Scope<'a> {
    root: &'a Value,
    /// The innermost last.
    variables: Vec<(String, Value)>,
    text: String,
}

impl Scope<'_> {
    fn all(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let outer = self.variables.len();
        for node in nodes {
            self.one(node, dot)?;
        }
        self.variables.truncate(outer);
        Ok(())
    }

    fn one(&mut self, node: &Node, dot: &Value) -> Result<(), TemplateError> {
        match node {
            Node::Text(text) => self.text += text,
            Node::Show(pipeline) => {
                let value = self.value(pipeline, dot)?;
                self.text += &functions::shown(&value);
            }
            Node::Set(name, pipeline) => {
                let value = self.value(pipeline, dot)?;
                self.variables.push((name.clone(), value));
            }
            Node::If {
                when,
                then,
                otherwise,
            } => {
                let holds = functions::is_true(&self.value(when, dot)?);
                self.all(if holds { then } else { otherwise }, dot)?;
            }
            Node::With {
                what,
                body,
                otherwise,
            } => {
                let value = self.value(what, dot)?;
                if functions::is_true(&value) {
                    self.all(body, &value)?;
                } else {
                    self.all(otherwise, dot)?;
                }
            }
            Node::Range {
                names,
                over,
                body,
                otherwise,
            } => {
                let value = self.value(over, dot)?;
                let items = items(&value)?;
                if items.is_empty() {
                    return self.all(otherwise, dot);
                }
                for (key, item) in items {
                    let outer = self.variables.len();
                    match names.as_slice() {
                        [] => {}
                        [only] => self.variables.push((only.clone(), item.clone())),
                        [first, second, ..] => {
                            self.variables.push((first.clone(), key));
                            self.variables.push((second.clone(), item.clone()));
                        }
                    }
                    self.all(body, item)?;
                    self.variables.truncate(outer);
                }
            }
        }
        Ok(())
    }

    fn value(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut piped = None;
        for call in &pipeline.0 {
            let operands = call.arguments.iter();
            let mut arguments = operands
                .map(|operand| self.operand(operand, dot))
                .collect::<Result<Vec<Value>, _>>()?;
            arguments.extend(piped.take());
            piped = match &call.function {
                Some(name) => Some(functions::call(name, &arguments)?),
                None => arguments.pop(),
            };
        }
        Ok(piped.unwrap_or_default())
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        match operand {
            Operand::Field(path) => look_up(dot, path),
            Operand::Variable(name, path) if name.is_empty() => look_up(self.root, path),
            Operand::Variable(name, path) => {
                let mut known = self.variables.iter().rev();
                let found = known.find(|(known, _)| known == name);
                let (_, value) = found.ok_or_else(|| TemplateError::NoField {
                    missing: format!("${name}"),
                })?;
                look_up(value, path)
            }
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Group(pipeline, path) => look_up(&self.value(pipeline, dot)?, path),
        }
    }
}

/// What a range goes over, with its keys.
fn items(value: &Value) -> Result<Vec<(Value, &Value)>, TemplateError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => Ok(items
            .iter()
            .enumerate()
            .map(|(index, item)| (Value::from(index), item))
            .collect()),
        Value::Object(map) => Ok(map
            .iter()
            .map(|(key, item)| (Value::from(key.as_str()), item))
            .collect()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(TemplateError::Argument {
            function: "range".to_owned(),
            what: value.to_string(),
        }),
    }
}

/// A field. In Go's documents the names of fields begin with a capital letter; what begins with a
/// small one can only be a key that a map may lack.
fn look_up(value: &Value, path: &[String]) -> Result<Value, TemplateError> {
    let mut found = value;
    for name in path {
        found = match found.get(name) {
            Some(field) => field,
            None if name.starts_with(|c: char| c.is_ascii_lowercase()) => {
                return Ok(Value::from(functions::NO_VALUE));
            }
            None => {
                return Err(TemplateError::NoField {
                    missing: path.join("."),
                });
            }
        };
    }
    Ok(found.clone())
}
