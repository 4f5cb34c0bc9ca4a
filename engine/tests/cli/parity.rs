//! The book's table of Docker 0.6's verbs names tests that there are, for verbs that there are.

use std::fs;
use std::path::Path;

use super::keel::list;

fn sources(folder: &Path) -> String {
    let paths = list(folder);
    let texts = paths.iter().map(|path| match path.extension() {
        None if path.is_dir() => sources(path),
        Some(extension) if extension == "rs" => fs::read_to_string(path).unwrap(),
        _ => String::new(),
    });
    texts.collect()
}

#[test]
fn every_verb_of_docker_0_6_has_a_test() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(engine.join("../docs/docker-0.6.md")).unwrap();
    let tests = sources(&engine.join("tests"));
    let mut verbs = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (verb, answer, test) = (cells[1].trim_matches('`'), cells[2], cells[3]);
        if answer.starts_with("no: ") {
            continue;
        }
        let function = format!("fn {}(", test.trim_matches('`'));
        assert!(tests.contains(&function), "{verb}: {function}");
        verbs.push(verb);
    }
    let help = super::help::keel(&["--help"]).1;
    let is_there = |verb: &&str| {
        help.lines()
            .any(|line| line.trim_start().starts_with(&format!("{verb} ")))
    };
    assert!(verbs.iter().all(is_there), "{verbs:?}\n{help}");
    assert_eq!(verbs.len(), 30);
}
