use proptest::prelude::*;

use super::*;

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn release(text: &str) -> Result<Release, IndexError> {
    Release::parse("bookworm", text)
}

fn text(dates: &str) -> String {
    format!(
        "Origin: Debian\nSuite: oldstable\nCodename: bookworm\n{dates}\nAcquire-By-Hash: yes\n\
         SHA256:\n {DIGEST} 10 main/binary-amd64/Packages\n {DIGEST}  7 main/binary-amd64/Packages.xz\n"
    )
}

const DATE: &str = "Date: Sat, 11 Jul 2026 10:16:37 UTC";

fn packages(list: &str) -> KernelPackages {
    KernelPackages::read(
        &release(&text(DATE)).unwrap(),
        Arch::Amd64,
        DIGEST,
        list.as_bytes(),
    )
    .unwrap()
}

/// A stanza of a package list.
fn stanza(name: &str, version: &str, depends: &str) -> String {
    format!(
        "Package: {name}\nVersion: {version}\nDepends: {depends}\nFilename: pool/{name}.deb\nSize: 5\nSHA256: {DIGEST}\n\n"
    )
}

fn entry(id: &str, flavour: &str) -> Entry {
    Entry {
        id: id.parse().unwrap(),
        suite: "bookworm".to_owned(),
        flavour: flavour.to_owned(),
    }
}

/// What an entry resolves to: the release and the packages.
fn resolved(list: &str, id: &str, flavour: &str) -> Option<(String, Vec<String>)> {
    let resolved = packages(list).resolve(&entry(id, flavour))?;
    Some((
        resolved.release,
        resolved.packages.into_iter().map(|p| p.name).collect(),
    ))
}

fn bookworm() -> String {
    [
        stanza(
            "linux-image-6.1.0-47-cloud-amd64",
            "6.1.170-1",
            "kmod, linux-base (>= 4.3~)",
        ),
        stanza(
            "linux-image-6.1.0-50-cloud-amd64",
            "6.1.176-1",
            "kmod, linux-base (>= 4.3~)",
        ),
        stanza(
            "linux-image-6.1.0-50-cloud-amd64-unsigned",
            "6.1.176-1",
            "kmod",
        ),
        stanza("linux-image-6.1.0-51-amd64", "6.1.180-1", "kmod"),
        stanza("linux-image-6.12.9+deb12-cloud-amd64", "6.12.9-1", "kmod"),
        stanza(
            "linux-image-6.12-cloud-amd64",
            "6.12.9-1",
            "linux-image-6.12.9+deb12-cloud-amd64 (= 6.12.9-1)",
        ),
        stanza(
            "linux-image-cloud-amd64",
            "6.1.176-1",
            "linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)",
        ),
    ]
    .concat()
}

#[test]
fn the_metapackage_leads_to_the_kernel() {
    let (release, packages) = resolved(&bookworm(), "debian-12/6.1/amd64", "cloud-amd64").unwrap();
    assert_eq!(release, "6.1.0-50-cloud-amd64");
    assert_eq!(packages, ["linux-image-6.1.0-50-cloud-amd64"]);
}

#[test]
fn a_series_beside_the_metapackages_is_found_by_its_name() {
    let (release, _) = resolved(&bookworm(), "debian-12/6.12/amd64", "cloud-amd64").unwrap();
    assert_eq!(release, "6.12.9+deb12-cloud-amd64");
}

#[test]
fn a_flavour_is_not_taken_for_another_that_ends_like_it() {
    let (release, _) = resolved(&bookworm(), "debian-12/6.1/amd64", "amd64").unwrap();
    assert_eq!(release, "6.1.0-51-amd64");
}

#[test]
fn a_series_that_the_suite_lacks_resolves_to_nothing() {
    assert_eq!(
        resolved(&bookworm(), "debian-12/5.10/amd64", "cloud-amd64"),
        None
    );
}

#[test]
fn a_split_kernel_comes_with_all_its_parts_once() {
    let base = "linux-base-7.3.4+deb13-cloud-amd64 (= 7.3.4-1)";
    let list = [
        stanza("linux-image-cloud-amd64", "7.3.4-1", "linux-base-cloud-amd64, linux-image-7.3.4+deb13-cloud-amd64 (= 7.3.4-1)"),
        stanza(
            "linux-image-7.3.4+deb13-cloud-amd64",
            "7.3.4-1",
            &format!("dracut | initramfs-tools, {base}, linux-binary-7.3.4+deb13-cloud-amd64 (= 7.3.4-1), linux-modules-7.3.4+deb13-cloud-amd64 (= 7.3.4-1)"),
        ),
        stanza("linux-binary-7.3.4+deb13-cloud-amd64", "7.3.4-1", base),
        stanza("linux-modules-7.3.4+deb13-cloud-amd64", "7.3.4-1", &format!("kmod, {base}")),
        stanza("linux-base-7.3.4+deb13-cloud-amd64", "7.3.4-1", ""),
    ]
    .concat();
    let (release, packages) = resolved(&list, "debian-13/newest/amd64", "cloud-amd64").unwrap();
    assert_eq!(release, "7.3.4+deb13-cloud-amd64");
    insta::assert_snapshot!(packages.join("\n"), @r"
    linux-image-7.3.4+deb13-cloud-amd64
    linux-base-7.3.4+deb13-cloud-amd64
    linux-binary-7.3.4+deb13-cloud-amd64
    linux-modules-7.3.4+deb13-cloud-amd64
    ");
}

#[test]
fn a_file_name_that_climbs_is_no_package() {
    let list = stanza("linux-image-6.1.0-50-cloud-amd64", "1", "").replace("pool/", "../");
    assert_eq!(packages(&list).packages, []);
}

#[test]
fn the_smallest_readable_list_is_chosen() {
    let release = release(&text(DATE)).unwrap();
    let (path, file) = release.package_list(Arch::Amd64).unwrap();
    assert_eq!(
        (path.as_str(), file.size),
        ("main/binary-amd64/Packages.xz", 7)
    );
    assert!(release.by_hash);
    let error = release.package_list(Arch::S390x).unwrap_err();
    insta::assert_snapshot!(error, @"the index of bookworm has no usable `SHA256 line of the package list`; the mirror is broken");
}

#[test]
fn another_suites_index_is_refused() {
    let error = Release::parse("trixie", &text(DATE)).unwrap_err();
    insta::assert_snapshot!(error, @"the mirror gave the index of `oldstable/bookworm` where `trixie` was asked for; don't use this mirror");
}

#[test]
fn dates_are_held_against_the_clock() {
    let dated = text(&format!(
        "{DATE}\nValid-Until: Sat, 18 Jul 2026 10:16:37 UTC"
    ));
    let release = release(&dated).unwrap();
    let check = |now: &str| release.check_dates(now.parse().unwrap());
    assert!(check("2026-07-12T00:00:00Z").is_ok());
    assert!(matches!(
        check("2026-07-01T00:00:00Z"),
        Err(IndexError::FromTheFuture { .. })
    ));
    insta::assert_snapshot!(check("2026-08-01T00:00:00Z").unwrap_err(), @"the index of bookworm expired on 2026-07-18T10:16:37Z; the mirror no longer follows Debian: use another, or accept it with `--accept-expired` (apt's `Check-Valid-Until` is honoured too)");
}

proptest! {
    #[test]
    fn no_text_makes_the_index_reader_panic(body in "(?s)(SHA256:|Suite: bookworm|Date: |\n| |[0-9a-f]{64}|.){0,60}") {
        drop(Release::parse("bookworm", &body));
        drop(package(&Paragraph::parse(&body)));
    }
}
