use proptest::prelude::*;

use super::*;

const SMALL: &str = "\
#
# Automatically generated file; DO NOT EDIT.
# Linux/x86_64 4.18.0-553.el8_10.x86_64 Kernel Configuration
#
CONFIG_64BIT=y
CONFIG_X86_64=y
# CONFIG_PREEMPT is not set
CONFIG_VETH=m
CONFIG_HZ=1000
CONFIG_PHYSICAL_START=0x1000000
CONFIG_LSM=\"yama,apparmor \\\"x\\\"\"
";

#[test]
fn tells_off_from_unknown() {
    let config = Kconfig::parse(SMALL.as_bytes()).unwrap();
    assert!(config.is_on("VETH") && config.is_on("64BIT"));
    assert!(config.is_off("PREEMPT"));
    assert_eq!(config.get("OVERLAY_FS"), None);
    assert_eq!(config.release(), Some("4.18.0-553.el8_10.x86_64"));
    assert_eq!(config.version(), Some("4.18".parse().unwrap()));
    assert_eq!(config.arch().as_deref(), Some("amd64"));
}

#[test]
fn reads_the_headers_of_old_kernels() {
    let text = "# Linux kernel version: 2.6.32-754.el6\n# Mon Jan 1 2018\nCONFIG_S390=y\n";
    let config = Kconfig::parse(text.as_bytes()).unwrap();
    assert_eq!(config.version(), Some("2.6.32".parse().unwrap()));
    assert_eq!(config.arch().as_deref(), Some("s390x"));
}

#[test]
fn says_what_is_wrong_with_what_is_no_configuration() {
    let message = |bytes: &[u8]| Kconfig::parse(bytes).unwrap_err().to_string();
    insta::assert_snapshot!(message(b" \n"), @"it is empty: give the `.config` that the kernel was built from");
    insta::assert_snapshot!(message(b"\x7fELF\x02\x00"), @"it is binary, not text (byte 0x7f at offset 0): a kernel image goes to `--kernel`, a package to `--package`");
    insta::assert_snapshot!(message(b"CONFIG_A=y\n# caf\xe9\n"), @"it is not UTF-8 from offset 16 on: give the file as the kernel's build wrote it");
    insta::assert_snapshot!(message(b"# only a comment\n"), @"no line of it sets an option (`CONFIG_…=y`): it is no kernel configuration");
    insta::assert_snapshot!(message(b"CONFIG_A=y\n<html>\n"), @"line 2 is no line of a kernel configuration: `<html>`");
    insta::assert_snapshot!(message(b"CONFIG_A=y\nCONFIG_CC_VERSION=\"gcc"), @r#"it is cut off: its last line, 2, is `CONFIG_CC_VERSION="gcc`; copy the whole file again"#);
    insta::assert_snapshot!(message(b"CONFIG_A=y\n# CONFIG_B is n"), @"it is cut off: its last line, 2, is `# CONFIG_B is n`; copy the whole file again");
    insta::assert_snapshot!(message(b"CONFIG_A=y\n# end of General setup\nCONFIG_B=y\n"), @"it is cut off: the menu `Kernel hacking`, which every configuration since 5.3 ends with, is missing; copy the whole file again");
    insta::assert_snapshot!(message(&vec![b'#'; MAX_BYTES + 1]), @"it is larger than 16 MiB, and no kernel configuration is");
}

fn setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        Just(Setting::BuiltIn),
        Just(Setting::Module),
        Just(Setting::Off),
        any::<i64>().prop_map(|n| Setting::Value(n.to_string().into())),
        // In quotes, without which a value of `y` or `12` would be another setting.
        "[a-z][a-z ,=./-]{1,20}".prop_map(|text| Setting::Value(text.into())),
    ]
}

proptest! {
    #[test]
    fn printing_and_parsing_are_inverse(
        options in prop::collection::hash_map("[A-Z0-9_]{1,30}", setting(), 1..40)
    ) {
        let config: Kconfig = options.into_iter().collect();
        prop_assert_eq!(Kconfig::parse(config.to_string().as_bytes()), Ok(config));
    }

    #[test]
    fn nothing_panics_on_foreign_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(Kconfig::parse(&bytes));
    }

    #[test]
    fn nothing_panics_on_a_damaged_configuration(cut in 0..SMALL.len(), byte: u8) {
        let mut bytes = SMALL.as_bytes().to_vec();
        bytes[cut] = byte;
        drop(Kconfig::parse(&bytes));
        drop(Kconfig::parse(&bytes[..cut]));
    }
}
