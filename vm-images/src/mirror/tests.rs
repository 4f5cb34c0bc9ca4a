use proptest::prelude::*;

use super::*;

/// An apt configuration of these files.
fn apt(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sources.list.d")).unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn found(files: &[(&str, &str)]) -> Result<String, String> {
    let dir = apt(files);
    Mirror::of_host(dir.path(), Validity::Enforced)
        .map(|mirror| mirror.to_string())
        .map_err(|error| error.to_string())
}

#[test]
fn a_stanza_of_debians_names_the_mirror() {
    let stanzas = "Types: deb\nURIs: https://example.org/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
        Types: deb deb-src\nURIs: http://example.org/debian/\nSuites: bookworm bookworm-updates\nComponents: main\n\
        Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
    assert_eq!(
        found(&[("sources.list.d/debian.sources", stanzas)]),
        Ok("http://example.org/debian".to_owned())
    );
}

#[test]
fn a_line_of_debians_names_the_mirror() {
    let lines = "# comment\ndeb-src http://example.org/src bookworm main\n\
        deb [ arch=amd64 signed-by=/usr/share/keyrings/other.gpg ] https://other.example.org/linux bookworm main\n\
        deb [arch=amd64] https://example.org/debian sid main contrib # ours\n";
    assert_eq!(
        found(&[("sources.list", lines)]),
        Ok("https://example.org/debian".to_owned())
    );
}

#[test]
fn disabled_foreign_and_incomplete_sources_are_passed_over() {
    let text = "Enabled: no\nTypes: deb\nURIs: http://example.org/off\nSuites: sid\nComponents: main\n\n\
        Types: deb\nURIs: https://example.org/docker\nSuites: bookworm\nComponents: stable\n";
    let ubuntu = "deb http://example.org/ubuntu noble main universe\n";
    let error = found(&[
        ("sources.list.d/a.sources", text),
        ("sources.list", ubuntu),
        (
            "sources.list.d/x.save",
            "deb http://example.org/old sid main",
        ),
    ])
    .unwrap_err();
    insta::assert_snapshot!(error, @"this machine's apt configuration names no Debian mirror; give one with `--mirror URL` or SEAWORTHY_DEBIAN_MIRROR, such as `--mirror https://mirror.example.org/debian`");
}

#[test]
fn a_list_of_mirrors_gives_its_first() {
    let dir = apt(&[]);
    let list = dir.path().join("mirrors.list");
    std::fs::write(
        &list,
        "# best first\nhttps://example.org/debian\tpriority:1\nhttps://example.net/debian\n",
    )
    .unwrap();
    let line = format!("deb mirror+file:{} trixie main\n", list.display());
    assert_eq!(
        found(&[("sources.list", &line)]),
        Ok("https://example.org/debian".to_owned())
    );
}

#[test]
fn a_transport_that_cannot_be_read_is_named() {
    let error = found(&[(
        "sources.list",
        "deb cdrom:[disc] bookworm main\ndeb tor+http://example.onion/debian bookworm main\n",
    )])
    .unwrap_err();
    assert!(
        error.contains("`tor+http://example.onion/debian` can't"),
        "{error}"
    );
}

#[test]
fn a_sources_own_waiver_of_the_date_is_honoured() {
    let dir = apt(&[(
        "sources.list",
        "deb [check-valid-until=no] https://example.org/debian sid main\n",
    )]);
    assert_eq!(
        Mirror::of_host(dir.path(), Validity::Enforced)
            .unwrap()
            .validity(),
        Validity::Waived
    );
}

#[test]
fn apts_own_waiver_of_dates_is_honoured() {
    let of_dump = Validity::of_dump;
    assert_eq!(
        of_dump("Acquire::Check-Valid-Until \"false\";\n"),
        Validity::Waived
    );
    assert_eq!(
        of_dump("Acquire::Check-Valid-Until \"true\";\n"),
        Validity::Enforced
    );
    assert_eq!(of_dump(""), Validity::Enforced);
}

#[test]
fn an_address_of_another_kind_is_refused() {
    for address in [
        "",
        "ftp://example.org/debian",
        "example.org/debian",
        "http://",
        "https://example.org/a b",
    ] {
        assert!(
            Mirror::at(address, Validity::Enforced).is_err(),
            "{address}"
        );
    }
    for address in [
        "http://example.org/debian/",
        "file:///srv/debian",
        "file:/srv/debian",
    ] {
        assert!(Mirror::at(address, Validity::Enforced).is_ok(), "{address}");
    }
}

proptest! {
    #[test]
    fn no_configuration_makes_the_parser_panic(text in "(?s)(deb|Types: deb|URIs:|Suites:|\\[|\\]|=| |\n|#|.){0,80}") {
        for line in text.lines() {
            drop(one_line(line));
        }
        for paragraph in paragraphs(&text) {
            drop(stanza(&paragraph));
        }
    }
}
