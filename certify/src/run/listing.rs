//! A plan as text for a person.

use std::fmt::Write;

use matrix::plan::{Excluded, Plan};

/// The cells, and why others are not there.
pub fn listing(plan: &Plan) -> String {
    let mut text = format!(
        "matrix {}: {} to run, {} not\n",
        plan.matrix,
        cells(plan.cells.len()),
        plan.excluded.len()
    );
    let width = plan.cells.iter().map(|cell| cell.id.as_str().len()).max();
    for cell in &plan.cells {
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "  {:width$}  {:5}  {}",
            cell.id,
            cell.target,
            cell.suites.join(" "),
            width = width.unwrap_or(0),
        );
    }
    let mut rest: Vec<&Excluded> = plan.excluded.iter().collect();
    while let Some(first) = rest.first().copied() {
        let (same, others): (Vec<&Excluded>, Vec<&Excluded>) = rest
            .iter()
            .partition(|excluded| excluded.reason == first.reason);
        let _ = writeln!(text, "\nnot run: {}", first.reason);
        for excluded in same {
            let _ = writeln!(text, "  {}", excluded.id);
        }
        rest = others;
    }
    text
}

/// So many cells, in words.
pub(crate) fn cells(count: usize) -> String {
    match count {
        1 => "1 cell".to_owned(),
        count => format!("{count} cells"),
    }
}

#[cfg(test)]
mod tests {
    use matrix::matrix_file::MatrixFile;
    use matrix::plan::Filter;

    use super::*;

    #[test]
    fn cells_and_reasons_stand_apart() {
        let filter = Filter {
            only: vec!["kernel=6.1".parse().unwrap()],
            skip: vec!["storage=vfs".parse().unwrap()],
        };
        let matrix = MatrixFile::built_in("quick").unwrap();
        let plan = Plan::new("quick", &matrix, None, &filter).unwrap();
        insta::assert_snapshot!(listing(&plan));
    }
}
