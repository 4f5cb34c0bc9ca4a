//! The functions that templates may call: Go's, and those that Docker adds.

use std::cmp::Ordering;

use serde_json::Value;

use super::TemplateError;

/// All of them, for messages.
pub(super) const NAMES: &str = "json, join, split, lower, upper, title, println, print, index, len, \
                                truncate, eq, ne, lt, le, gt, ge, and, or, not";

/// What Go shows of a key that is not there.
pub(super) const NO_VALUE: &str = "<no value>";

pub(super) fn is_known(name: &str) -> bool {
    NAMES.split(", ").any(|known| known == name)
}

/// Calls one.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
    let bad = || {
        let shown: Vec<String> = arguments.iter().map(Value::to_string).collect();
        TemplateError::Argument {
            function: name.to_owned(),
            what: if shown.is_empty() {
                "nothing".to_owned()
            } else {
                shown.join(" ")
            },
        }
    };
    let result = match (name, arguments) {
        ("json", [value]) => Some(value.to_string().into()),
        ("lower", [Value::String(text)]) => Some(text.to_lowercase().into()),
        ("upper", [Value::String(text)]) => Some(text.to_uppercase().into()),
        ("title", [Value::String(text)]) => Some(title(text).into()),
        ("join", [Value::Array(items), Value::String(between)]) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            Some(items.join(between).into())
        }
        ("join", [Value::Null, _]) => Some("".into()),
        ("split", [Value::String(text), Value::String(at)]) => {
            Some(text.split(at.as_str()).collect())
        }
        ("truncate", [Value::String(text), Value::Number(most)]) => {
            let most = most.as_u64().and_then(|most| usize::try_from(most).ok());
            most.map(|most| text.chars().take(most).collect::<String>().into())
        }
        ("print", all) => Some(print(all, Between::OtherThanText).into()),
        ("println", all) => Some((print(all, Between::All) + "\n").into()),
        ("len", [value]) => length(value).map(Value::from),
        ("index", [value, keys @ ..]) => keys
            .iter()
            .try_fold(value.clone(), |value, key| element(&value, key)),
        ("not", [value]) => Some((!is_true(value)).into()),
        ("and", [first, ..]) => {
            let stop = arguments.iter().find(|value| !is_true(value));
            Some(stop.or(arguments.last()).unwrap_or(first).clone())
        }
        ("or", [first, ..]) => {
            let stop = arguments.iter().find(|value| is_true(value));
            Some(stop.or(arguments.last()).unwrap_or(first).clone())
        }
        ("eq", [first, others @ ..]) if !others.is_empty() => Some(others.contains(first).into()),
        ("ne", [first, second]) => Some((first != second).into()),
        ("lt" | "le" | "gt" | "ge", [first, second]) => compare(first, second).map(|order| {
            let holds = match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            };
            holds.into()
        }),
        _ => None,
    };
    result.ok_or_else(bad)
}

fn compare(first: &Value, second: &Value) -> Option<Ordering> {
    match (first, second) {
        (Value::Number(first), Value::Number(second)) => {
            first.as_f64()?.partial_cmp(&second.as_f64()?)
        }
        (Value::String(first), Value::String(second)) => Some(first.cmp(second)),
        _ => None,
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.len()),
        Value::Array(items) => Some(items.len()),
        Value::Object(map) => Some(map.len()),
        Value::Null => Some(0),
        Value::Bool(_) | Value::Number(_) => None,
    }
}

/// An element of a list, or of a map, where an absent one is empty.
fn element(value: &Value, key: &Value) -> Option<Value> {
    match (value, key) {
        (Value::Array(items), Value::Number(index)) => {
            items.get(usize::try_from(index.as_u64()?).ok()?).cloned()
        }
        (Value::Object(map), Value::String(key)) => {
            Some(map.get(key).cloned().unwrap_or_else(|| "".into()))
        }
        (Value::Null, Value::String(_)) => Some("".into()),
        _ => None,
    }
}

fn title(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// Where values are kept apart by a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// Everywhere.
    All,
    /// Between two of which neither is a text.
    OtherThanText,
}

fn print(values: &[Value], between: Between) -> String {
    let mut text = String::new();
    let mut before: Option<&Value> = None;
    for value in values {
        let apart = before.is_some_and(|before| {
            between == Between::All || !(before.is_string() || value.is_string())
        });
        if apart {
            text.push(' ');
        }
        text += &shown(value);
        before = Some(value);
    }
    text
}

/// What `if` takes for true: all but what is empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && text != NO_VALUE,
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// As Go prints it: texts bare, lists in brackets without commas.
pub(super) fn shown(value: &Value) -> String {
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
