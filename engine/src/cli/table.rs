//! Tables for people.

use serde_json::Value;

/// Columns of `rows`, each with its heading and the field that it shows.
pub(super) fn render(columns: &[(&str, &str)], rows: &[Value]) -> String {
    let mut lines: Vec<Vec<String>> =
        vec![columns.iter().map(|&(title, _)| title.into()).collect()];
    for row in rows {
        let cell = |&(_, field): &(&str, &str)| match row.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        lines.push(columns.iter().map(cell).collect());
    }
    columns_of(&lines)
}

/// Lines whose cells are kept apart by tabs, as columns.
pub(super) fn align(lines: &[String]) -> String {
    let cells = |line: &String| line.split('\t').map(str::to_owned).collect();
    columns_of(&lines.iter().map(cells).collect::<Vec<_>>())
}

/// Columns as wide as they must be, with three spaces between, as Docker's.
fn columns_of(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut padded = String::new();
        for (cell, &width) in line.iter().zip(&widths) {
            let gap = width.saturating_sub(cell.chars().count()) + 3;
            padded += cell;
            padded.extend(std::iter::repeat_n(' ', gap));
        }
        text += padded.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [json!({"A": "long…", "B": 1}), json!({"A": "s"})];
        insta::assert_snapshot!(render(&[("ONE", "A"), ("TWO", "B")], &rows), @r"
        ONE     TWO
        long…   1
        s
        ");
    }
}
