//! Clauses: what an engine must do, each with the document that says so.
//!
//! They are data (`data/requirements/engine-*.toml`); a case of a suite names the clauses that
//! it proves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::requirement::Level;

/// One thing that an engine must, should or may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// `docker.run.exit-status`: unique among all clauses, and as stable as a word in a
    /// contract, since waivers name it.
    pub id: String,
    /// How much of a promise it is.
    pub level: Level,
    /// What the engine does, as a sentence.
    pub text: String,
    /// Where that is said: a section of a specification, a manual page, a CVE.
    pub source: String,
}

/// A text that is no file of clauses.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not this kind of TOML.
    #[error("this is no file of clauses: each needs id, level, text and source")]
    Toml(#[from] toml::de::Error),
    /// Nothing may be said twice.
    #[error("the clause `{0}` stands twice in the file: remove one")]
    Twice(String),
    /// Nothing may be empty.
    #[error(
        "the clause `{0}` has an empty text or source: say what the engine does, and where that is said"
    )]
    Empty(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    clause: Vec<Clause>,
}

/// Reads a file of clauses.
pub fn parse(text: &str) -> Result<Vec<Clause>, ParseError> {
    let File { clause: clauses } = toml::from_str(text)?;
    let mut seen = std::collections::BTreeSet::new();
    for clause in &clauses {
        if !seen.insert(&clause.id) {
            return Err(ParseError::Twice(clause.id.clone()));
        }
        if clause.id.is_empty() || clause.text.is_empty() || clause.source.is_empty() {
            return Err(ParseError::Empty(clause.id.clone()));
        }
    }
    Ok(clauses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: &str, source: &str) -> String {
        format!(
            "[[clause]]\nid = \"{id}\"\nlevel = \"must\"\ntext = \"Does it.\"\nsource = \"{source}\"\n"
        )
    }

    #[test]
    fn a_clause_is_read_with_its_source() {
        let clauses = parse(&file("docker.kill", "docker-kill(1)")).unwrap();
        assert_eq!(clauses.len(), 1);
        assert_eq!(
            (clauses[0].level, clauses[0].source.as_str()),
            (Level::Must, "docker-kill(1)")
        );
    }

    #[test]
    fn what_says_nothing_or_says_it_twice_is_refused() {
        assert!(matches!(parse(&file("a", "")), Err(ParseError::Empty(_))));
        let twice = file("a", "b").repeat(2);
        assert!(matches!(parse(&twice), Err(ParseError::Twice(id)) if id == "a"));
        assert!(matches!(parse("clause = 1"), Err(ParseError::Toml(_))));
    }
}
