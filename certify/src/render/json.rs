//! The judged results as they are, with a line on where they come from.

use serde::Serialize;

use super::{About, Report};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    matrix: &'a str,
    started: &'a str,
    harness: &'a str,
    host: &'a str,
    accelerator: &'a str,
    took_ms: u64,
    results: &'a matrix::results::Results,
}

pub(super) fn render(report: &Report) -> String {
    let About {
        matrix,
        started,
        harness,
        host,
        accelerator,
        left_out: _,
        took_ms,
    } = &report.about;
    let document = Document {
        schema: "seaworthy.report/1",
        matrix,
        started,
        harness,
        host,
        accelerator,
        took_ms: *took_ms,
        results: &report.results,
    };
    // The types hold no map with keys that JSON lacks, so serialising them cannot fail.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn the_document_holds_the_results_unchanged() {
        let report = sample::report();
        let document: serde_json::Value = serde_json::from_str(&super::render(&report)).unwrap();
        let results: matrix::results::Results =
            serde_json::from_value(document["results"].clone()).unwrap();
        assert_eq!(results, report.results);
    }
}
