//! Verifying: everything that a certificate says, recomputed from the folder beside it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use matrix::results::{EngineIdentity, Results};
use matrix::sabotage::Sabotage;
use matrix::verdict::Verdict;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::envelope::{Envelope, IN_TOTO};
use super::evidence::{self, EvidenceError, Inventory};
use super::key::PublicKey;
use super::statement::{
    CERTIFICATE_SCHEMA, CertifiedCell, PREDICATE_TYPE, Predicate, STATEMENT_TYPE, Statement,
    subjects,
};
use crate::run::folder::{FolderError, RunFolder, name, read_bounded};

/// The value of `schema` in a verification.
pub const VERIFICATION_SCHEMA: &str = "seaworthy.verification/1";

/// Keys that the reader knows.
#[derive(Debug, Clone, Default)]
pub struct KnownKeys {
    /// The key that the reader demands; any other is refused.
    pub demanded: Option<PublicKey>,
    /// The reader's own key.
    pub own: Option<PublicKey>,
}

/// What verifying came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verification {
    /// [`VERIFICATION_SCHEMA`].
    pub schema: &'static str,
    /// Whether nothing is wrong.
    pub valid: bool,
    /// Who signed; absent where the certificate does not even say.
    pub signer: Option<SignerFound>,
    /// What the certificate says the run came to; absent where it can't be read.
    pub verdict: Option<Verdict>,
    /// Of what, and by which demands; absent where it can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<About>,
    /// The known fault that was built into the engine: then the certificate is none of the
    /// engine. Absent for an honest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
    /// How many files were checked.
    pub files: usize,
    /// All that is wrong.
    pub problems: Vec<Problem>,
}

/// What a certificate is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct About {
    /// The engine.
    pub engine: EngineIdentity,
    /// The policy's name.
    pub policy: String,
    /// The matrix's name.
    pub matrix: String,
    /// How many cells are certified, waivers included.
    pub certified: usize,
    /// Of how many.
    pub cells: usize,
}

impl About {
    fn of(predicate: &Predicate) -> Self {
        let certified = |cell: &&CertifiedCell| match cell.verdict {
            Verdict::Certified | Verdict::CertifiedWithWaivers => true,
            Verdict::NotCertified | Verdict::Unsupported | Verdict::NotTested => false,
        };
        Self {
            engine: predicate.engine.clone(),
            policy: predicate.policy.name.clone(),
            matrix: predicate.matrix.clone(),
            certified: predicate.cells.iter().filter(certified).count(),
            cells: predicate.cells.len(),
        }
    }
}

/// Whose signature it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SignerFound {
    /// SHA-256 of the public key.
    pub keyid: String,
    /// What is known of the key.
    pub known_as: KnownAs,
    /// Whether the key was made for this run and forgotten.
    pub ephemeral: bool,
}

/// What the reader knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KnownAs {
    /// It is the one that the reader demanded.
    Demanded,
    /// It is the reader's own.
    Own,
    /// Nothing: the signature proves that nothing was changed since, not who made it.
    Unknown,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// Which kind.
    pub what: Wrong,
    /// The file, cell or subject at fault, as the certificate names it.
    pub name: String,
    /// What was expected and what was found.
    pub detail: String,
}

/// The kinds of what can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// The certificate is no certificate.
    Certificate,
    /// The signature is not that of the key.
    Signature,
    /// The key is not the demanded one.
    Key,
    /// A file has another content.
    Changed,
    /// A file is gone.
    Missing,
    /// A file is there that was not.
    Extra,
    /// A subject's digest is not that of the thing.
    Subject,
    /// The journal judges otherwise.
    Judgement,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The certificate can't be read at all.
    #[error("there is no certificate to verify")]
    NoCertificate(#[source] FolderError),
    /// The folder can't be read.
    #[error("the evidence beside the certificate can't be read")]
    Evidence(#[source] EvidenceError),
}

impl Wrong {
    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Certificate => "not a certificate",
            Self::Signature => "bad signature",
            Self::Key => "other key",
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Subject => "other subject",
            Self::Judgement => "judged otherwise",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.what.words(), self.name, self.detail)
    }
}

/// Verifies the certificate at `path` against the folder that it is in and, if given, the
/// engine's binary.
///
/// # Errors
/// The certificate or its folder can't be read; whatever can be read and is wrong is a problem
/// of the verification instead.
pub fn verify(
    path: &Path,
    engine: Option<&Path>,
    keys: &KnownKeys,
) -> Result<Verification, VerifyError> {
    let bytes = read_bounded(path).map_err(VerifyError::NoCertificate)?;
    let mut verifier = Verifier {
        certificate: path.to_owned(),
        found: Verification {
            schema: VERIFICATION_SCHEMA,
            valid: false,
            signer: None,
            verdict: None,
            about: None,
            sabotage: None,
            files: 0,
            problems: Vec::new(),
        },
    };
    if let Some(statement) = verifier.open(&bytes, keys) {
        let predicate = &statement.predicate;
        verifier.found.verdict = Some(predicate.verdict);
        verifier.found.about = Some(About::of(predicate));
        verifier.found.sabotage.clone_from(&predicate.sabotage);
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        verifier.compare_subjects(&statement, engine)?;
        if is_run_folder(folder) {
            verifier.compare_files(folder, predicate)?;
            verifier.judge_again(folder, predicate);
        } else {
            // Whatever else is there is nobody's business.
            let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            verifier.problem(Wrong::Missing, whole.display().to_string(), "this is not the run folder that the certificate was made for: put the certificate back, or copy the whole folder");
        }
    }
    verifier.found.valid = verifier.found.problems.is_empty();
    Ok(verifier.found)
}

/// Whether anything of a run is there.
fn is_run_folder(folder: &Path) -> bool {
    let names = [name::RUN, name::JOURNAL, name::RESULTS];
    names.iter().any(|name| folder.join(name).exists())
}

struct Verifier {
    certificate: PathBuf,
    found: Verification,
}

impl Verifier {
    fn problem(&mut self, what: Wrong, name: impl Into<String>, detail: impl Into<String>) {
        self.found.problems.push(Problem {
            what,
            name: name.into(),
            detail: detail.into(),
        });
    }

    fn certificate_problem(&mut self, what: Wrong, detail: impl Into<String>) {
        let name = self.certificate.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        self.problem(what, name, detail);
    }

    /// Reads the statement, if it is one and its signature is that of its key.
    fn open(&mut self, bytes: &[u8], keys: &KnownKeys) -> Option<Statement> {
        let envelope: Envelope = match serde_json::from_slice(bytes) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.certificate_problem(Wrong::Certificate, format!("no DSSE envelope ({error})"));
                return None;
            }
        };
        if envelope.payload_type != IN_TOTO {
            let detail = format!(
                "its payload is `{}`, not `{IN_TOTO}`",
                envelope.payload_type
            );
            self.certificate_problem(Wrong::Certificate, detail);
            return None;
        }
        let Some(payload) = envelope.payload_bytes() else {
            self.certificate_problem(Wrong::Certificate, "its payload is not base64");
            return None;
        };
        let statement: Statement = match serde_json::from_slice(&payload) {
            Ok(statement) => statement,
            Err(error) => {
                self.certificate_problem(
                    Wrong::Certificate,
                    format!("its payload is no statement of ours ({error})"),
                );
                return None;
            }
        };
        let types = [
            (statement.type_.as_str(), STATEMENT_TYPE),
            (statement.predicate_type.as_str(), PREDICATE_TYPE),
            (statement.predicate.schema.as_str(), CERTIFICATE_SCHEMA),
        ];
        for (found, expected) in types {
            if found != expected {
                let detail = format!("it says `{found}` where `{expected}` is expected");
                self.certificate_problem(Wrong::Certificate, detail);
                return None;
            }
        }
        self.check_signature(&envelope, &statement, keys)
            .then_some(statement)
    }

    fn check_signature(
        &mut self,
        envelope: &Envelope,
        statement: &Statement,
        keys: &KnownKeys,
    ) -> bool {
        let signer = &statement.predicate.signer;
        let Some(key) = PublicKey::from_pem(&signer.public_key) else {
            self.certificate_problem(Wrong::Signature, "it names no Ed25519 public key");
            return false;
        };
        let known_as = if keys.demanded.as_ref() == Some(&key) {
            KnownAs::Demanded
        } else if keys.own.as_ref() == Some(&key) {
            KnownAs::Own
        } else {
            KnownAs::Unknown
        };
        self.found.signer = Some(SignerFound {
            keyid: key.id(),
            known_as,
            ephemeral: signer.ephemeral,
        });
        if let Some(demanded) = keys.demanded.as_ref().filter(|demanded| **demanded != key) {
            let detail = format!("signed by key {}, demanded was {}", key.id(), demanded.id());
            self.certificate_problem(Wrong::Key, detail);
        }
        let good = envelope.is_signed_by(&key);
        if !good {
            let detail = format!(
                "the signature is not that of key {} over this text",
                key.id()
            );
            self.certificate_problem(Wrong::Signature, detail);
        }
        good
    }

    fn compare_files(&mut self, folder: &Path, predicate: &Predicate) -> Result<(), VerifyError> {
        let found = Inventory::take(folder, &self.certificate).map_err(VerifyError::Evidence)?;
        self.found.files = found.files.len();
        for (name, expected) in &predicate.evidence {
            match found.files.get(name) {
                None => self.problem(
                    Wrong::Missing,
                    name,
                    "the certificate has it, the folder not",
                ),
                Some(file) if file != expected => {
                    let detail = format!(
                        "expected {} bytes with sha256 {}, found {} bytes with {}",
                        expected.size, expected.sha256, file.size, file.sha256
                    );
                    self.problem(Wrong::Changed, name, detail);
                }
                Some(_) => {}
            }
        }
        for name in found.files.keys() {
            if !predicate.evidence.contains_key(name) {
                self.problem(Wrong::Extra, name, "the folder has it, the certificate not");
            }
        }
        for path in found.foreign {
            let name = path
                .strip_prefix(folder)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            self.problem(Wrong::Extra, name, "it is no plain file");
        }
        Ok(())
    }

    fn compare_subjects(
        &mut self,
        statement: &Statement,
        engine: Option<&Path>,
    ) -> Result<(), VerifyError> {
        let predicate = &statement.predicate;
        // Without results among the evidence, no subject can be them.
        let results =
            (predicate.evidence.get(name::RESULTS)).map_or("", |file| file.sha256.as_str());
        let sabotage = predicate.sabotage.as_ref();
        let expected = subjects(&predicate.engine, sabotage, results);
        let missing = expected.iter().filter(|s| !statement.subject.contains(s));
        let surplus = statement.subject.iter().filter(|s| !expected.contains(s));
        let differing: BTreeSet<&str> = missing.chain(surplus).map(|s| s.name.as_str()).collect();
        for name in differing {
            let detail = "the statement and the evidence don't both have it with the same digest";
            self.problem(Wrong::Subject, name, detail);
        }
        if let Some(path) = engine {
            if let Some(Sabotage { fault, .. }) = sabotage {
                let detail = format!(
                    "{} was run with known fault `{fault}`, and is not what this is about",
                    path.display(),
                );
                self.problem(Wrong::Subject, predicate.engine.name.clone(), detail);
            }
            let found = evidence::digest(path).map_err(|source| {
                VerifyError::Evidence(EvidenceError::Read {
                    path: path.to_owned(),
                    source,
                })
            })?;
            if found.sha256 != predicate.engine.sha256 {
                let detail = format!(
                    "sha256 {} was certified, {} has {}",
                    predicate.engine.sha256,
                    path.display(),
                    found.sha256
                );
                self.problem(Wrong::Subject, predicate.engine.name.clone(), detail);
            }
        }
        Ok(())
    }

    /// Judges the journal again, by this program's own judge.
    fn judge_again(&mut self, path: &Path, predicate: &Predicate) {
        let folder = match RunFolder::open(path) {
            Ok(folder) => folder,
            // What can't be read was changed and is named already, unless an old version of
            // this program signed it like that.
            Err(error) => {
                if self.found.problems.is_empty() {
                    self.problem(Wrong::Judgement, name::RUN, error.to_string());
                }
                return;
            }
        };
        let judged = folder.judge();
        self.compare_results(&judged, &folder.results);
        let (evidence, signer) = (predicate.evidence.clone(), predicate.signer.clone());
        let expected = Predicate::new(&folder.run, &judged, evidence, signer);
        self.compare_predicates(predicate, &expected);
    }

    /// What the certificate says against what it should say by the evidence.
    fn compare_predicates(&mut self, said: &Predicate, expected: &Predicate) {
        let mut problem = |name: &str, detail: String| {
            self.problem(Wrong::Judgement, name, detail);
        };
        for cell in &expected.cells {
            match said.cells.iter().find(|said| said.id == cell.id) {
                Some(said) if said == cell => {}
                Some(said) => problem(
                    cell.id.as_str(),
                    format!(
                        "the certificate says {}, the journal {}",
                        said.verdict, cell.verdict
                    ),
                ),
                None => problem(
                    cell.id.as_str(),
                    "the certificate does not have it".to_owned(),
                ),
            }
        }
        for cell in &said.cells {
            if !expected.cells.iter().any(|known| known.id == cell.id) {
                problem(cell.id.as_str(), "the plan does not have it".to_owned());
            }
        }
        for (field, said, expected) in differing_fields(said, expected) {
            problem(
                &field,
                format!("the certificate says {said}, the evidence {expected}"),
            );
        }
    }

    fn compare_results(&mut self, judged: &Results, stored: &Results) {
        if judged == stored {
            return;
        }
        let differing: Vec<&str> = judged
            .cells
            .iter()
            .filter(|cell| !stored.cells.contains(cell))
            .map(|cell| cell.id.as_str())
            .collect();
        let detail = if differing.is_empty() {
            "it is not what the journal comes to".to_owned()
        } else {
            format!(
                "it is not what the journal comes to in {}",
                differing.join(", ")
            )
        };
        self.problem(Wrong::Judgement, name::RESULTS, detail);
    }
}

/// The fields but `cells` in which two differ, with what each says, shortened.
fn differing_fields(said: &Predicate, expected: &Predicate) -> Vec<(String, String, String)> {
    const SHOWN: usize = 200;
    let fields = |predicate: &Predicate| match serde_json::to_value(predicate) {
        Ok(Value::Object(fields)) => fields,
        // Each was read from JSON or goes into it.
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    let (said, expected) = (fields(said), fields(expected));
    let names: BTreeSet<&String> = said.keys().chain(expected.keys()).collect();
    let shown = |value: Option<&Value>| match value {
        Some(value) => value.to_string().chars().take(SHOWN).collect(),
        None => "nothing".to_owned(),
    };
    names
        .into_iter()
        .map(|name| (name, said.get(name), expected.get(name)))
        .filter(|(name, said, expected)| name.as_str() != "cells" && said != expected)
        .map(|(name, said, expected)| (name.clone(), shown(said), shown(expected)))
        .collect()
}
