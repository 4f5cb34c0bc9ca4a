//! What a certificate says: an in-toto Statement v1 with a predicate of our own.
//!
//! Source: in-toto attestation framework, `spec/v1/statement.md`.

use std::collections::BTreeMap;

use jiff::civil::Date;
use matrix::axis::Accelerator;
use matrix::cell::CellId;
use matrix::outcome::Counts;
use matrix::policy::Policy;
use matrix::results::{EngineIdentity, Results, Selftest};
use matrix::sabotage::Sabotage;
use matrix::verdict::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::FileDigest;
use super::key::{Lifetime, PublicKey};
use crate::run::folder::name;
use crate::run::{HostFacts, RunFacts};

/// The type of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The type of our predicate.
pub const PREDICATE_TYPE: &str = "urn:seaworthy:certificate:1";

/// The value of `schema` in the predicate.
pub const CERTIFICATE_SCHEMA: &str = "seaworthy.certificate/1";

/// A statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub type_: String,
    /// `results.json` and, unless a known fault was built into it, the engine's binary.
    pub subject: Vec<Subject>,
    /// [`PREDICATE_TYPE`].
    pub predicate_type: String,
    /// What is said of the subjects.
    pub predicate: Predicate,
}

/// A thing, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// What it is called here.
    pub name: String,
    /// Its digests, by algorithm (`sha256`).
    pub digest: BTreeMap<String, String>,
}

/// What is certified, and on which evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Predicate {
    /// [`CERTIFICATE_SCHEMA`].
    pub schema: String,
    /// What the run came to.
    pub verdict: Verdict,
    /// What was tested.
    pub engine: EngineIdentity,
    /// The known fault that was built into it; absent for an honest engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
    /// What was demanded, whole.
    pub policy: Policy,
    /// The day that waivers were held against.
    #[schemars(with = "String")]
    pub judged_on: Date,
    /// When the run began, as RFC 3339 in UTC.
    pub started: String,
    /// The matrix (`quick`).
    pub matrix: String,
    /// What each cell came to.
    pub cells: Vec<CertifiedCell>,
    /// The version of Seaworthy.
    pub harness: String,
    /// How its suites did against known-bad engines; absent where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selftest: Option<Selftest>,
    /// Where the run was made.
    pub host: HostFacts,
    /// What executed the guests and why no better.
    pub accelerator: String,
    /// What QEMU says of its version; absent where no machine is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qemu: Option<String>,
    /// Who signs.
    pub signer: Signer,
    /// Every file of the run folder, by path.
    pub evidence: BTreeMap<String, FileDigest>,
}

/// What a cell came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertifiedCell {
    /// The cell.
    pub id: CellId,
    /// What it came to.
    pub verdict: Verdict,
    /// Its cases by outcome.
    pub cases: Counts,
    /// The kernel as it named itself.
    pub kernel_release: Option<String>,
    /// What executed it.
    pub accelerator: Accelerator,
}

/// Who signs: enough to check the signature with nothing else at hand. Whether the key is
/// anybody's is for the reader to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signer {
    /// The public key as PEM.
    pub public_key: String,
    /// Whether the key was made for this run and forgotten.
    pub ephemeral: bool,
}

impl Statement {
    /// The statement for a run.
    pub fn new(
        run: &RunFacts,
        results: &Results,
        evidence: BTreeMap<String, FileDigest>,
        results_sha256: &str,
        key: &PublicKey,
        lifetime: Lifetime,
    ) -> Self {
        Self {
            type_: STATEMENT_TYPE.to_owned(),
            subject: subjects(&run.engine, run.sabotage.as_ref(), results_sha256),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate::new(run, results, evidence, Signer::new(key, lifetime)),
        }
    }
}

impl Predicate {
    /// What is said of a run: all of it follows from the run's own files.
    pub(super) fn new(
        run: &RunFacts,
        results: &Results,
        evidence: BTreeMap<String, FileDigest>,
        signer: Signer,
    ) -> Self {
        Self {
            schema: CERTIFICATE_SCHEMA.to_owned(),
            verdict: results.verdict,
            engine: run.engine.clone(),
            sabotage: run.sabotage.clone(),
            policy: run.policy.clone(),
            judged_on: run.judged_on,
            started: run.started.clone(),
            matrix: run.plan.matrix.clone(),
            cells: certified_cells(results),
            harness: run.harness.clone(),
            selftest: run.selftest.clone(),
            host: run.host.clone(),
            accelerator: run.accelerator.clone(),
            qemu: run.qemu.clone(),
            signer,
            evidence,
        }
    }
}

impl Signer {
    fn new(key: &PublicKey, lifetime: Lifetime) -> Self {
        Self {
            public_key: key.to_pem(),
            ephemeral: lifetime == Lifetime::Ephemeral,
        }
    }
}

/// What a statement is about. A program that was run with a known fault is not among it, as
/// whoever looks for statements by the program's digest is to find none.
pub(super) fn subjects(
    engine: &EngineIdentity,
    sabotage: Option<&Sabotage>,
    results_sha256: &str,
) -> Vec<Subject> {
    let subject = |name: &str, sha256: &str| Subject {
        name: name.to_owned(),
        digest: BTreeMap::from([("sha256".to_owned(), sha256.to_owned())]),
    };
    let mut subjects = vec![subject(name::RESULTS, results_sha256)];
    if sabotage.is_none() {
        subjects.insert(0, subject(&engine.name, &engine.sha256));
    }
    subjects
}

/// What a certificate says of each cell of `results`.
fn certified_cells(results: &Results) -> Vec<CertifiedCell> {
    results
        .cells
        .iter()
        .map(|cell| CertifiedCell {
            id: cell.id.clone(),
            verdict: cell.verdict,
            cases: cell.cases,
            kernel_release: cell.kernel_release.clone(),
            accelerator: cell.accelerator,
        })
        .collect()
}
