//! From a template's text to its tree.

use serde_json::Value;

use super::TemplateError;
use super::functions;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Shown as it is.
    Text(String),
    /// `{{…}}`
    Show(Pipeline),
    /// `{{$name := …}}`
    Set(String, Pipeline),
    /// `{{if …}}…{{else}}…{{end}}`
    If {
        when: Pipeline,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    /// `{{range $key, $item := …}}…{{else}}…{{end}}`
    Range {
        names: Vec<String>,
        over: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    /// `{{with …}}…{{else}}…{{end}}`
    With {
        what: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Calls, each of which gets what the one before came to as its last argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline(pub(super) Vec<Call>);

/// A value, or a function with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    /// `None`: the only argument is the value.
    pub(super) function: Option<String>,
    pub(super) arguments: Vec<Operand>,
}

/// Something that has a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// `.A.B`; `.` when empty.
    Field(Vec<String>),
    /// `$name.A.B`; `$` has no name.
    Variable(String, Vec<String>),
    /// `"text"`, `7`, `true`.
    Literal(Value),
    /// `(…).A.B`
    Group(Pipeline, Vec<String>),
}

impl Pipeline {
    /// The last part of the first field in it: what a column is called after.
    pub(super) fn last_field(&self) -> Option<&str> {
        let arguments = self.0.iter().flat_map(|call| &call.arguments);
        let mut fields = arguments.filter_map(|operand| match operand {
            Operand::Field(path) => path.last(),
            Operand::Variable(..) | Operand::Literal(_) | Operand::Group(..) => None,
        });
        fields.next().map(String::as_str)
    }
}

/// A part of an action.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// `.A.B`
    Field(Vec<String>),
    /// `$name.A`
    Variable(String, Vec<String>),
    Literal(Value),
    Word(String),
    Open,
    /// `).A`
    Close(Vec<String>),
    Pipe,
    Comma,
    Assign,
}

impl Token {
    /// The name of a variable without fields.
    fn plain_variable(&self) -> Option<&str> {
        if let Self::Variable(name, path) = self {
            return path.is_empty().then_some(name);
        }
        None
    }
}

/// Understands a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser {
        rest: text,
        trim: false,
    };
    let (nodes, end) = parser.block()?;
    match end {
        End::Text => Ok(nodes),
        End::Else(action) | End::Close(action) => Err(TemplateError::Unbalanced(action)),
    }
}

struct Parser<'a> {
    rest: &'a str,
    /// The last action ended with `-}}`: white space behind it goes.
    trim: bool,
}

/// What a block ended with.
enum End {
    Text,
    /// `{{else}}` or `{{else if …}}`
    Else(String),
    Close(String),
}

/// Shells pass `\t` and `\n` on as they are, and Docker understands them.
fn plain(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

impl Parser<'_> {
    /// Reads nodes until the block ends.
    fn block(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        let mut nodes = Vec::new();
        loop {
            let Some((before, behind)) = self.rest.split_once("{{") else {
                self.text(&mut nodes, self.rest);
                self.rest = "";
                return Ok((nodes, End::Text));
            };
            let (action, rest) = split_action(behind)
                .ok_or_else(|| TemplateError::Syntax(format!("{{{{{behind}")))?;
            let trims_before = action.starts_with("- ");
            let before = if trims_before {
                before.trim_end()
            } else {
                before
            };
            self.text(&mut nodes, before);
            let action = action
                .strip_prefix('-')
                .filter(|_| trims_before)
                .unwrap_or(action);
            self.trim = action.ends_with(" -");
            let action = action
                .strip_suffix('-')
                .filter(|_| self.trim)
                .unwrap_or(action);
            self.rest = rest;
            let action = action.trim();
            let (word, arguments) = action.split_once(' ').unwrap_or((action, ""));
            match word {
                "end" => return Ok((nodes, End::Close(shown(action)))),
                "else" => return Ok((nodes, End::Else(arguments.trim().to_owned()))),
                "if" => nodes.push(self.condition(arguments)?),
                "range" => nodes.push(self.range(arguments)?),
                "with" => {
                    let what = pipeline(&tokens(arguments)?, arguments)?;
                    let (body, otherwise) = self.branches()?;
                    nodes.push(Node::With {
                        what,
                        body,
                        otherwise,
                    });
                }
                _ if action.starts_with("/*") => {}
                _ => nodes.push(show(action)?),
            }
        }
    }

    fn text(&mut self, nodes: &mut Vec<Node>, text: &str) {
        let text = if self.trim { text.trim_start() } else { text };
        self.trim = false;
        if !text.is_empty() {
            nodes.push(Node::Text(plain(text)));
        }
    }

    fn condition(&mut self, when: &str) -> Result<Node, TemplateError> {
        let when = pipeline(&tokens(when)?, when)?;
        let (then, otherwise) = self.branches()?;
        Ok(Node::If {
            when,
            then,
            otherwise,
        })
    }

    fn range(&mut self, arguments: &str) -> Result<Node, TemplateError> {
        let tokens = tokens(arguments)?;
        let assign = tokens.iter().position(|token| *token == Token::Assign);
        let (declared, over) = match assign {
            Some(at) => {
                let (declared, over) = tokens.split_at(at);
                (declared, over.get(1..).unwrap_or_default())
            }
            None => (&[][..], tokens.as_slice()),
        };
        let mut names = Vec::new();
        for token in declared {
            if *token == Token::Comma {
                continue;
            }
            let name = token.plain_variable();
            let name = name.ok_or_else(|| TemplateError::Syntax(shown(arguments)))?;
            names.push(name.to_owned());
        }
        let over = pipeline(over, arguments)?;
        let (body, otherwise) = self.branches()?;
        Ok(Node::Range {
            names,
            over,
            body,
            otherwise,
        })
    }

    /// What follows a condition, to its `{{end}}`.
    fn branches(&mut self) -> Result<(Vec<Node>, Vec<Node>), TemplateError> {
        let (then, end) = self.block()?;
        match end {
            End::Close(_) => Ok((then, Vec::new())),
            End::Text => Err(TemplateError::Unbalanced("if, range or with".to_owned())),
            End::Else(rest) if rest.is_empty() => {
                let (otherwise, end) = self.block()?;
                match end {
                    End::Close(_) => Ok((then, otherwise)),
                    End::Text | End::Else(_) => Err(TemplateError::Unbalanced(shown("else"))),
                }
            }
            // The `{{end}}` of the second condition ends the first one too.
            End::Else(rest) => match rest.strip_prefix("if ") {
                Some(when) => Ok((then, vec![self.condition(when)?])),
                None => Err(TemplateError::Syntax(shown(&format!("else {rest}")))),
            },
        }
    }
}

fn shown(action: &str) -> String {
    format!("{{{{{action}}}}}")
}

/// Where the action ends, which is not within a text.
fn split_action(behind: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut escaped = false;
    for (at, letter) in behind.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if letter == '\\' => escaped = true,
            Some(open) if letter == open => quote = None,
            Some(_) => {}
            None if letter == '"' || letter == '`' => quote = Some(letter),
            None => {
                if let Some(rest) = behind.get(at..)?.strip_prefix("}}") {
                    return Some((behind.get(..at)?, rest));
                }
            }
        }
    }
    None
}

fn show(action: &str) -> Result<Node, TemplateError> {
    let tokens = tokens(action)?;
    match tokens.as_slice() {
        [Token::Variable(name, path), Token::Assign, rest @ ..] if path.is_empty() => {
            Ok(Node::Set(name.clone(), pipeline(rest, action)?))
        }
        all => Ok(Node::Show(pipeline(all, action)?)),
    }
}

/// Tokens as calls.
fn pipeline(tokens: &[Token], action: &str) -> Result<Pipeline, TemplateError> {
    let bad = || TemplateError::Syntax(shown(action));
    let (pipeline, rest) = calls(tokens).ok_or_else(bad)?;
    if rest.is_empty() {
        Ok(pipeline)
    } else {
        Err(bad())
    }
}

/// Calls up to a closing bracket or the end, and what is left.
fn calls(mut tokens: &[Token]) -> Option<(Pipeline, &[Token])> {
    let mut calls = Vec::new();
    loop {
        let function = match tokens {
            [Token::Word(name), rest @ ..] if functions::is_known(name) => {
                tokens = rest;
                Some(name.clone())
            }
            _ => None,
        };
        let mut arguments = Vec::new();
        loop {
            let (operand, rest) = match tokens {
                [Token::Field(path), rest @ ..] => (Operand::Field(path.clone()), rest),
                [Token::Variable(name, path), rest @ ..] => {
                    (Operand::Variable(name.clone(), path.clone()), rest)
                }
                [Token::Literal(value), rest @ ..] => (Operand::Literal(value.clone()), rest),
                [Token::Open, rest @ ..] => {
                    let (inner, rest) = self::calls(rest)?;
                    let [Token::Close(path), rest @ ..] = rest else {
                        return None;
                    };
                    (Operand::Group(inner, path.clone()), rest)
                }
                _ => break,
            };
            arguments.push(operand);
            tokens = rest;
        }
        // A value alone takes no arguments, and nothing can be piped into it.
        let is_value = function.is_none();
        if is_value && (arguments.len() != 1 || !calls.is_empty()) {
            return None;
        }
        calls.push(Call {
            function,
            arguments,
        });
        match tokens {
            [Token::Pipe, rest @ ..] => tokens = rest,
            rest => return Some((Pipeline(calls), rest)),
        }
    }
}

/// The parts of an action.
fn tokens(action: &str) -> Result<Vec<Token>, TemplateError> {
    let bad = || TemplateError::Syntax(shown(action));
    let mut tokens = Vec::new();
    let mut rest = action.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, behind) = match first {
            '.' => path(rest).map(|(path, behind)| (Token::Field(path), behind)),
            '$' => {
                let (name, behind) = word(rest.get(1..).unwrap_or_default());
                path(behind).map(|(path, behind)| (Token::Variable(name.to_owned(), path), behind))
            }
            '"' => text(rest).map(|(text, behind)| (Token::Literal(text.into()), behind)),
            '`' => rest
                .get(1..)
                .and_then(|rest| rest.split_once('`'))
                .map(|(text, behind)| (Token::Literal(text.into()), behind)),
            '(' => Some((Token::Open, rest.get(1..).unwrap_or_default())),
            ')' => path(rest.get(1..).unwrap_or_default())
                .map(|(path, behind)| (Token::Close(path), behind)),
            '|' => Some((Token::Pipe, rest.get(1..).unwrap_or_default())),
            ',' => Some((Token::Comma, rest.get(1..).unwrap_or_default())),
            ':' => rest
                .strip_prefix(":=")
                .map(|behind| (Token::Assign, behind)),
            '-' | '0'..='9' => number(rest),
            _ => {
                let (name, behind) = word(rest);
                let token = match name {
                    "" => None,
                    "true" => Some(Token::Literal(true.into())),
                    "false" => Some(Token::Literal(false.into())),
                    "nil" => Some(Token::Literal(Value::Null)),
                    name => Some(Token::Word(name.to_owned())),
                };
                token.map(|token| (token, behind))
            }
        }
        .ok_or_else(bad)?;
        tokens.push(token);
        rest = behind.trim_start();
    }
    Ok(tokens)
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    text.split_at(end.unwrap_or(text.len()))
}

/// `.A.B`, `.`, or nothing.
fn path(mut text: &str) -> Option<(Vec<String>, &str)> {
    let mut path = Vec::new();
    while let Some(behind) = text.strip_prefix('.') {
        let (name, rest) = word(behind);
        if name.is_empty() {
            // The dot itself, and nothing behind it.
            return (path.is_empty() && !rest.starts_with('.')).then_some((path, rest));
        }
        path.push(name.to_owned());
        text = rest;
    }
    Some((path, text))
}

fn number(text: &str) -> Option<(Token, &str)> {
    let end = text
        .char_indices()
        .skip(1)
        .find(|(_, c)| !c.is_ascii_digit() && *c != '.')
        .map_or(text.len(), |(at, _)| at);
    let (number, behind) = text.split_at(end);
    let value: Value = serde_json::from_str(number).ok()?;
    Some((Token::Literal(value), behind))
}

/// `"text"`, with JSON's escapes, which are Go's as far as anybody writes them.
fn text(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (literal, behind) = text.split_at(at + 1);
                return Some((serde_json::from_str(literal).ok()?, behind));
            }
            _ => {}
        }
    }
    None
}
