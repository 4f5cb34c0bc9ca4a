//! An archive of kernel packages: suites, lists and pool, as a mirror has them.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Server, clear_sign};
use crate::cache::digest_of;
use crate::compression::Compression;
use crate::modinfo::tests::module;
use crate::package::tests::{deb, pack};

/// The files of a mirror, by their paths.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    files: BTreeMap<String, Vec<u8>>,
    lists: BTreeMap<(String, String), String>,
}

/// What varies in a suite's Release file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SuiteSpec<'a> {
    pub(crate) name: &'a str,
    pub(crate) valid_until: Option<&'a str>,
}

impl Archive {
    /// Adds a package to the list of a suite and architecture.
    pub(crate) fn package(
        &mut self,
        (suite, arch): (&str, &str),
        (name, version, depends): (&str, &str, &str),
        files: &[(&str, &[u8])],
    ) -> &mut Self {
        let control = format!("Package: {name}\nVersion: {version}\nDepends: {depends}\n");
        let package = deb(&control, files, Compression::Xz);
        let (sha256, size) = digest_of(package.as_slice()).unwrap();
        let filename = format!("pool/{name}_{version}_{arch}.deb");
        let list = self
            .lists
            .entry((suite.to_owned(), arch.to_owned()))
            .or_default();
        write!(
            list,
            "{control}Filename: {filename}\nSize: {size}\nSHA256: {sha256}\n\n"
        )
        .unwrap();
        self.files.insert(filename, package);
        self
    }

    /// Adds a kernel as Debian packs them up to 7.1, with its metapackage.
    pub(crate) fn kernel(&mut self, suite: &str, abi: &str, version: &str) -> &mut Self {
        let release = format!("{abi}-cloud-amd64");
        let file = |path: &str| path.replace("REL", &release);
        let name = format!("linux-image-{release}");
        self.package(
            (suite, "amd64"),
            (&name, version, "kmod"),
            &[
                (&file("./boot/vmlinuz-REL"), &vmlinuz(&release)),
                (&file("./boot/config-REL"), b"CONFIG_OVERLAY_FS=m\n"),
                (&file("./boot/System.map-REL"), b"not needed"),
                (
                    &file("./lib/modules/REL/modules.builtin"),
                    b"kernel/fs/ext4/ext4.ko\n",
                ),
                (
                    &file("./lib/modules/REL/kernel/fs/overlayfs/overlay.ko"),
                    &module(&["alias=fs-overlay", "depends=helper-one"]),
                ),
                (
                    &file("./lib/modules/REL/kernel/lib/helper_one.ko.xz"),
                    &module_file(&["softdep=pre: crc32c ext4 absent"], Compression::Xz),
                ),
                (
                    &file("./lib/modules/REL/kernel/crypto/crc32c_generic.ko.gz"),
                    &module_file(&["alias=crc32c"], Compression::Gzip),
                ),
            ],
        );
        self.package(
            (suite, "amd64"),
            ("linux-image-cloud-amd64", version, &name),
            &[],
        )
    }

    /// The files of the mirror, with these suites' lists and signed indexes.
    pub(crate) fn publish(&self, suites: &[SuiteSpec<'_>]) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files.clone();
        for suite in suites {
            let name = suite.name;
            let mut release = format!(
                "Origin: Debian\nSuite: {name}\nCodename: {name}\nDate: Sat, 09 Aug 2025 09:16:30 UTC\nAcquire-By-Hash: yes\n"
            );
            if let Some(date) = suite.valid_until {
                writeln!(release, "Valid-Until: {date}").unwrap();
            }
            release.push_str("SHA256:\n");
            for ((of, arch), list) in &self.lists {
                if of == name {
                    let list = pack(list.as_bytes(), Compression::Xz);
                    let (sha256, size) = digest_of(list.as_slice()).unwrap();
                    let folder = format!("main/binary-{arch}");
                    writeln!(release, " {sha256} {size} {folder}/Packages.xz").unwrap();
                    files.insert(
                        format!("dists/{name}/{folder}/by-hash/SHA256/{sha256}"),
                        list.clone(),
                    );
                    files.insert(format!("dists/{name}/{folder}/Packages.xz"), list);
                }
            }
            files.insert(format!("dists/{name}/InRelease"), clear_sign(&release));
        }
        files
    }

    /// A server of the archive with these suites, none of which expires.
    pub(crate) fn serve(&self, suites: &[&str]) -> Server {
        let suites: Vec<_> = suites
            .iter()
            .map(|name| SuiteSpec {
                name,
                valid_until: None,
            })
            .collect();
        Server::start(self.publish(&suites))
    }
}

/// A module's file with this `.modinfo`.
pub(crate) fn module_file(modinfo: &[&str], packing: Compression) -> Vec<u8> {
    pack(&module(modinfo), packing)
}

/// A bzImage of a kernel for amd64.
pub(crate) fn vmlinuz(release: &str) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    elf.extend(format!("Linux version {release} (debian)").as_bytes());
    elf.extend(vec![0x90; 4000]);
    let packed = pack(&elf, Compression::Xz);
    let mut image = vec![0; 0x400];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
    let length = u32::try_from(packed.len()).unwrap() + 4;
    image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
    image.extend(packed);
    image.extend(u32::try_from(elf.len()).unwrap().to_le_bytes());
    image
}
