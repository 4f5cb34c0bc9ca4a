use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

/// An ELF image with a banner and, if wanted, an embedded configuration.
fn elf(config: Option<&str>) -> Vec<u8> {
    let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    image.extend((0..100_000u32).flat_map(u32::to_le_bytes));
    image.extend(
        b"Linux version %s\0Linux version 6.1.0-50-cloud-amd64 (debian-kernel@example.org) #1\0",
    );
    image.extend(b"IKCFG_ST is what the reader looks for");
    if let Some(config) = config {
        image.extend(CONFIG_START);
        image.extend(gzip(config.as_bytes()));
        image.extend(CONFIG_END);
    }
    image.extend(vec![0; 1000]);
    image
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x02, 0x21, 0x4c, 0x18];
    for block in bytes.chunks(1 << 18) {
        let block = lz4_flex::block::compress(block);
        packed.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
        packed.extend(block);
    }
    packed
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A bzImage around a packed image; `unpacked` is the length that its end announces.
fn bzimage(packed: &[u8], unpacked: usize) -> Vec<u8> {
    let mut image = vec![0; 0x400];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    image[0x300..0x31e].copy_from_slice(b"6.1.0-50-cloud-amd64 (debian) ");
    let length = u32::try_from(packed.len()).unwrap() + 4;
    image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
    image.extend(packed);
    image.extend(u32::try_from(unpacked).unwrap().to_le_bytes());
    image.extend(b"what follows the payload");
    image
}

#[test]
fn every_packing_of_debians_kernels_gives_the_image_back() {
    let elf = elf(None);
    for (name, pack) in [
        ("gzip", gzip as fn(&[u8]) -> Vec<u8>),
        ("lz4", lz4),
        ("xz", xz),
        ("zstd", zstd),
        ("none", <[u8]>::to_vec),
    ] {
        let mut packed = pack(&elf);
        if name == "gzip" {
            // gzip's own trailer is the length.
            packed.truncate(packed.len() - 4);
        }
        assert!(
            unpack_bzimage(&bzimage(&packed, elf.len())).unwrap() == elf,
            "{name}"
        );
    }
}

#[test]
fn a_foreign_packing_is_named() {
    let error = unpack_bzimage(&bzimage(b"BZh91AY&SY....", 100)).unwrap_err();
    insta::assert_snapshot!(error, @"the kernel is packed with bzip2, which can't be read; give the `vmlinux` ELF file, or a kernel packed with gzip, xz, lz4 or zstd");
}

#[test]
fn a_payload_of_another_length_than_announced_is_refused() {
    let elf = elf(None);
    let error = unpack_bzimage(&bzimage(&lz4(&elf), elf.len() + 1)).unwrap_err();
    assert!(
        matches!(error, KernelImageError::WrongLength { .. }),
        "{error}"
    );
}

#[test]
fn a_truncated_kernel_is_refused() {
    let elf = elf(None);
    let mut image = bzimage(&lz4(&elf), elf.len());
    image.truncate(image.len() / 2);
    assert!(matches!(
        Form::of(&image),
        Err(KernelImageError::Truncated { .. })
    ));
}

#[test]
fn the_release_is_read_from_either_form() {
    let elf = elf(None);
    assert_eq!(
        release(&elf).unwrap().as_deref(),
        Some("6.1.0-50-cloud-amd64")
    );
    let image = bzimage(&lz4(&elf), elf.len());
    assert_eq!(
        release(&image).unwrap().as_deref(),
        Some("6.1.0-50-cloud-amd64")
    );
    assert_eq!(elf_arch(&elf), Some(Arch::Amd64));
}

#[test]
fn the_pvh_entry_is_found_across_pieces_and_missed_where_it_is_not() {
    let mut image = elf(None);
    assert!(!has_pvh_entry(image.as_slice()).unwrap());
    image.resize((1 << 20) - 3, 0);
    image.extend(b"\x12\0\0\0Xen\0\0\0\0\x01");
    assert!(has_pvh_entry(image.as_slice()).unwrap());
}

#[test]
fn an_embedded_configuration_is_found_in_a_packed_kernel() {
    let text = "CONFIG_NAMESPACES=y\n".repeat(10_000);
    let with = elf(Some(&text));
    let image = bzimage(&lz4(&with), with.len());
    assert_eq!(embedded_config(&image).unwrap(), Some(text.into_bytes()));
    assert_eq!(embedded_config(&elf(None)).unwrap(), None);
}

proptest! {
    #[test]
    fn the_configuration_is_found_however_the_image_is_cut(piece in 1usize..40) {
        let mut image = b"xxIKCFG_STyyIKCFG_IKCFG_ST".to_vec();
        image.extend(gzip(b"CONFIG_A=y"));
        image.extend(b"IKCFG_EIKCFG_EDzz");
        let mut finder = ConfigFinder::default();
        for chunk in image.chunks(piece) {
            finder.write_all(chunk).unwrap();
        }
        let found = finder.found.map(|gz| gz.starts_with(&[0x1f, 0x8b]));
        prop_assert_eq!(found, Some(true));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..2000), header: bool) {
        if header && bytes.len() > 0x210 {
            bytes[0x202..0x206].copy_from_slice(b"HdrS");
            bytes[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
            bytes[0x208..0x20a].iter_mut().for_each(|b| *b = 0);
        }
        drop(embedded_config(&bytes));
        drop(release(&bytes));
    }
}
