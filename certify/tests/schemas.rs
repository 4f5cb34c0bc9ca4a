//! The JSON Schemas in `docs/schemas/` are those of the types. After a change of a type:
//! `SEAWORTHY_UPDATE_SCHEMAS=1 cargo test -p seaworthy --test schemas`.

#![allow(
    clippy::unwrap_used,
    reason = "a test that can't read its files has to fail"
)]

use std::fs;
use std::path::Path;

use certify::certificate::statement::Statement;
use certify::certificate::verify::Verification;
use certify::doctor::Diagnosis;
use certify::run::RunFacts;
use certify::suite::{Event as SuiteEvent, Listing};
use matrix::event::Entry;
use matrix::plan::Plan;
use matrix::results::{Results, Selftest};
use matrix::support::Support;
use schemars::Schema;

#[test]
fn the_schemas_are_those_of_the_types() {
    let schemas: [(&str, Schema); 11] = [
        (
            "seaworthy.certificate.1.json",
            schemars::schema_for!(Statement),
        ),
        (
            "seaworthy.verification.1.json",
            schemars::schema_for!(Verification),
        ),
        ("seaworthy.check.1.json", schemars::schema_for!(Support)),
        ("seaworthy.doctor.1.json", schemars::schema_for!(Diagnosis)),
        ("seaworthy.plan.1.json", schemars::schema_for!(Plan)),
        ("seaworthy.results.1.json", schemars::schema_for!(Results)),
        ("seaworthy.run.1.json", schemars::schema_for!(RunFacts)),
        ("seaworthy.selftest.1.json", schemars::schema_for!(Selftest)),
        ("seaworthy.suite.1.json", schemars::schema_for!(Listing)),
        (
            "seaworthy.suite-event.1.json",
            schemars::schema_for!(SuiteEvent),
        ),
        (
            "seaworthy.journal-entry.1.json",
            schemars::schema_for!(Entry),
        ),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
    let update = std::env::var_os("SEAWORTHY_UPDATE_SCHEMAS").is_some();
    for (name, schema) in schemas {
        let path = folder.join(name);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if update {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == text,
            "{} is not what the types say: if the change only adds, run this test with SEAWORTHY_UPDATE_SCHEMAS=1",
            path.display()
        );
    }
}
