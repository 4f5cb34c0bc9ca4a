use std::io::Write;

use proptest::prelude::*;

use super::*;

/// A package made of these files.
pub(crate) fn deb(control: &str, files: &[(&str, &[u8])], packing: Compression) -> Vec<u8> {
    let suffix = match packing {
        Compression::None => "",
        Compression::Gzip => ".gz",
        Compression::Xz => ".xz",
        Compression::Zstd => ".zst",
    };
    let mut archive = b"!<arch>\n".to_vec();
    ar_member(&mut archive, "debian-binary", b"2.0\n");
    let control = tar(&[("./control", control.as_bytes())]);
    ar_member(
        &mut archive,
        &format!("control.tar{suffix}"),
        &pack(&control, packing),
    );
    ar_member(
        &mut archive,
        &format!("data.tar{suffix}"),
        &pack(&tar(files), packing),
    );
    archive
}

fn ar_member(archive: &mut Vec<u8>, name: &str, content: &[u8]) {
    let header = format!(
        "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
        0,
        0,
        0,
        100_644,
        content.len()
    );
    archive.extend(header.as_bytes());
    archive.extend(content);
    if content.len() % 2 == 1 {
        archive.push(b'\n');
    }
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if path.len() < 100 {
            // By hand, as the tar crate refuses to write hostile paths.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        } else {
            builder.append_data(&mut header, path, *content).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

pub(crate) fn pack(bytes: &[u8], packing: Compression) -> Vec<u8> {
    match packing {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let options = lzma_rust2::XzOptions::with_preset(0);
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        Compression::Zstd => {
            ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
        }
    }
}

fn files_of(package: &[u8]) -> Result<Vec<(String, String)>, PackageError> {
    let mut files = Vec::new();
    walk(package, &mut |file| {
        let mut content = String::new();
        file.contents.read_to_string(&mut content)?;
        files.push((file.path.to_str().unwrap().to_owned(), content));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(files)
}

#[test]
fn packages_of_every_packing_give_their_files() {
    let long = format!("./usr/lib/{}/x", "y".repeat(150));
    for packing in [
        Compression::None,
        Compression::Gzip,
        Compression::Xz,
        Compression::Zstd,
    ] {
        let package = deb(
            "Package: p\nVersion: 1\n",
            &[("./boot/config-6.1", b"CONFIG_A=y\n"), (&long, b"z")],
            packing,
        );
        let files = files_of(&package).unwrap();
        assert_eq!(
            files[0],
            ("boot/config-6.1".to_owned(), "CONFIG_A=y\n".to_owned()),
            "{packing:?}"
        );
        assert_eq!(files[1].0, long[2..], "{packing:?}");
        assert_eq!(
            control(package.as_slice()).unwrap().get("Version"),
            Some("1"),
            "{packing:?}"
        );
    }
}

#[test]
fn a_path_that_leads_out_is_refused_before_its_file_is_seen() {
    for path in ["../etc/passwd", "/etc/passwd", "./boot/../../x"] {
        let package = deb("Package: p\n", &[(path, b"x")], Compression::None);
        assert!(
            matches!(files_of(&package), Err(PackageError::HostilePath(_))),
            "{path}"
        );
    }
}

#[test]
fn what_is_no_package_is_refused() {
    for bytes in [
        b"".as_slice(),
        b"!<arch>\n",
        b"PK\x03\x04 something else",
        b"!<arch>\nxxxxxxxxxxx",
    ] {
        assert!(files_of(bytes).is_err());
    }
    let error = control(b"\x1f\x8bnonsense".as_slice()).unwrap_err();
    insta::assert_snapshot!(error, @"this is no Debian package: it does not start as an `ar` archive with `debian-binary` does");
}

#[test]
fn a_truncated_package_is_an_error_not_a_short_list() {
    let content = (0..50_000_u32)
        .flat_map(u32::to_le_bytes)
        .collect::<Vec<_>>();
    let package = deb("Package: p\n", &[("./a", &content)], Compression::Xz);
    let cut = &package[..package.len() - 100];
    let result = walk(cut, &mut |file| {
        io::copy(file.contents, &mut io::sink())?;
        Ok(ControlFlow::Continue(()))
    });
    assert!(result.is_err());
}

#[test]
fn a_visitor_can_stop_early() {
    let package = deb(
        "Package: p\n",
        &[("./a", b"1"), ("./b", b"2")],
        Compression::Gzip,
    );
    let mut seen = 0;
    walk(package.as_slice(), &mut |_| {
        seen += 1;
        Ok(ControlFlow::Break(()))
    })
    .unwrap();
    assert_eq!(seen, 1);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), as_archive: bool) {
        let mut package = if as_archive { b"!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\ndata.tar        0           0     0     100644  256       `\n".to_vec() } else { Vec::new() };
        package.extend(bytes);
        drop(files_of(&package));
        drop(control(package.as_slice()));
    }

    #[test]
    fn damage_anywhere_never_panics(at in 0usize..4000, with: u8) {
        let mut package = deb("Package: p\n", &[("./a", b"1"), ("./b", &[7; 600])], Compression::None);
        if let Some(byte) = package.get_mut(at) {
            *byte = with;
        }
        drop(files_of(&package));
    }
}
