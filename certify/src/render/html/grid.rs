//! The matrix as a grid: a row a kernel, a column a storage driver.

use maud::{Markup, html};

use matrix::cell::CellId;
use matrix::results::CellResult;

use super::super::Report;
use super::{anchor, mark};

/// A cell id taken apart at the storage driver: what names its row, and its column.
fn coordinates(id: &CellId) -> (String, &str) {
    let parts: Vec<&str> = id.as_str().split('/').collect();
    match parts.as_slice() {
        [distro, kernel, arch, storage, cgroup] => {
            (format!("{distro}/{kernel}/{arch}/{cgroup}"), storage)
        }
        // `CellId` has five parts by construction.
        _ => (id.to_string(), ""),
    }
}

pub(super) fn grid(report: &Report) -> Markup {
    let mut rows: Vec<String> = Vec::new();
    let mut columns: Vec<&str> = Vec::new();
    for cell in &report.results.cells {
        let (row, column) = coordinates(&cell.id);
        if !rows.contains(&row) {
            rows.push(row);
        }
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    let at = |row: &str, column: &str| {
        report
            .results
            .cells
            .iter()
            .find(|cell| coordinates(&cell.id) == (row.to_owned(), column))
    };
    html! {
        div.scroll {
            table.grid {
                thead {
                    tr {
                        th scope="col" { "Kernel" }
                        @for column in &columns { th scope="col" { (column) } }
                    }
                }
                tbody {
                    @for row in &rows {
                        tr {
                            th scope="row" { (row_name(row)) }
                            @for column in &columns {
                                td data-storage=(column) { @if let Some(cell) = at(row, column) { (link(cell, report)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn row_name(row: &str) -> Markup {
    let parts: Vec<&str> = row.split('/').collect();
    html! {
        @if let [distro, kernel, arch, cgroup] = parts.as_slice() {
            b { "Linux " (kernel) } " " small { (distro) " · " (arch) " · cgroup " (cgroup) }
        } @else {
            (row)
        }
    }
}

fn link(cell: &CellResult, report: &Report) -> Markup {
    let failures = cell.cases.fail + cell.cases.flaky;
    html! {
        a.cell href={ "#" (anchor(&cell.id)) } data-verdict=(cell.verdict) title=(cell.id) {
            strong { (mark(cell.verdict)) " " (cell.verdict) }
            small {
                @if cell.cases.total() == 0 {
                    "no cases"
                } @else if failures > 0 {
                    (failures) " of " (cell.cases.total()) " failed"
                } @else {
                    (cell.cases.pass) " of " (cell.cases.total()) " passed"
                }
                @if let Some(took) = report.took(cell) { " · " (took) }
            }
        }
    }
}
