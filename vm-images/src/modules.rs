//! A kernel's modules and the order in which they must be loaded.
//!
//! Debian's packages carry no `modules.dep` (depmod makes it at installation), so the table is
//! computed from each module's `.modinfo` section: `depends=`, `softdep=` and the plain
//! `alias=` lines. It is stored as JSON beside the modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::compression::Compression;

/// What one module needs, by its `.modinfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Module {
    /// Where its file is, relative to the tree's folder.
    pub(crate) path: PathBuf,
    /// Names of modules that must be loaded before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) depends: Vec<String>,
    /// Names or aliases of what should be loaded before it, if the kernel has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) prefers: Vec<String>,
    /// Other names that the kernel asks for it by (`crypto-crc32c`, `fs-xfs`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<String>,
}

/// The modules of one kernel by name, and what is built in. Names have `_` for `-`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModuleTable {
    pub(crate) modules: BTreeMap<String, Module>,
    /// None where no list came with the modules: any other may be built in, then.
    pub(crate) built_in: Option<BTreeSet<String>>,
}

/// A kernel's module files with their dependencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleTree {
    release: String,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// The user gave a kernel without modules: all that it can do is built in.
    Monolithic,
    Files {
        dir: PathBuf,
        table: ModuleTable,
    },
}

/// One module to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Its name, as `/proc/modules` shows it (`_`, never `-`).
    pub name: String,
    /// Its file on this machine.
    pub path: PathBuf,
    /// How the file is packed.
    pub compression: Compression,
}

/// A module that is wanted or depended on, and neither in the tree nor built in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "kernel {release} has no module `{name}`{}: it is neither in its modules nor built in; \
     choose a kernel whose configuration has it",
    .needed_by.as_ref().map(|by| format!(", which `{by}` needs")).unwrap_or_default()
)]
pub struct MissingModule {
    /// What is missing.
    pub name: String,
    /// The module that depends on it, if it was not asked for itself.
    pub needed_by: Option<String>,
    /// The kernel's release (`uname -r`).
    pub release: String,
}

impl ModuleTree {
    /// The tree of a kernel that has no modules at all: every closure in it is empty, and whether
    /// the kernel can do what is wanted shows in the guest.
    pub fn monolithic(release: &str) -> Self {
        Self {
            release: release.to_owned(),
            content: Content::Monolithic,
        }
    }

    /// The tree whose files are in `dir`, with what has been read from them.
    pub(crate) fn new(release: &str, dir: PathBuf, table: ModuleTable) -> Self {
        Self {
            release: release.to_owned(),
            content: Content::Files { dir, table },
        }
    }

    /// The folder of the files, which holds `kernel/…`; none for a kernel without modules.
    pub fn dir(&self) -> Option<&Path> {
        match &self.content {
            Content::Monolithic => None,
            Content::Files { dir, .. } => Some(dir),
        }
    }

    /// How many module files the kernel has.
    pub fn len(&self) -> usize {
        match &self.content {
            Content::Monolithic => 0,
            Content::Files { table, .. } => table.modules.len(),
        }
    }

    /// Whether the kernel has no module files.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a module of this name or alias exists or is known to be built in.
    pub fn has(&self, name: &str) -> bool {
        match &self.content {
            Content::Monolithic => false,
            Content::Files { table, .. } => table.find(name) != Found::Nothing,
        }
    }

    /// The files to load, in this order, so that all of `wanted` (names or aliases, `-` and `_`
    /// alike) work: each after what it depends on, none twice, what is built in left out. So is
    /// what may be built in, as nothing says what is: the guest shows it.
    ///
    /// Soft dependencies (`softdep=pre:`, which name crypto algorithms for example) come along
    /// where the kernel has them: without them `btrfs` would call for modprobe, and a micro
    /// target has none.
    ///
    /// # Errors
    ///
    /// The first module that is known to be neither in the tree nor built in.
    pub fn closure(&self, wanted: &[&str]) -> Result<Vec<ModuleFile>, MissingModule> {
        let Content::Files { dir, table } = &self.content else {
            return Ok(Vec::new());
        };
        let mut walk = Walk {
            table,
            visited: BTreeSet::new(),
            order: Vec::new(),
        };
        for name in wanted {
            walk.visit(name, None)
                .map_err(|(name, needed_by)| MissingModule {
                    name,
                    needed_by,
                    release: self.release.clone(),
                })?;
        }
        Ok(walk
            .order
            .into_iter()
            .map(|(name, module)| ModuleFile {
                name: name.to_owned(),
                path: dir.join(&module.path),
                compression: Compression::of_name(&module.path),
            })
            .collect())
    }
}

/// A depth-first walk along the dependencies.
struct Walk<'a> {
    table: &'a ModuleTable,
    visited: BTreeSet<&'a str>,
    order: Vec<(&'a str, &'a Module)>,
}

impl Walk<'_> {
    fn visit(
        &mut self,
        name: &str,
        needed_by: Option<&str>,
    ) -> Result<(), (String, Option<String>)> {
        let (name, module) = match self.table.find(name) {
            Found::BuiltIn => return Ok(()),
            Found::Nothing if self.table.built_in.is_none() => return Ok(()),
            Found::Nothing => return Err((normal(name), needed_by.map(str::to_owned))),
            Found::Module(name, module) => (name, module),
        };
        if !self.visited.insert(name) {
            return Ok(());
        }
        for preferred in &module.prefers {
            // Absent soft dependencies are no fault; a present one with a broken hard dependency
            // would be as useless as an absent one.
            drop(self.visit(preferred, Some(name)));
        }
        for dependency in &module.depends {
            self.visit(dependency, Some(name))?;
        }
        self.order.push((name, module));
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Found<'a> {
    BuiltIn,
    Module(&'a str, &'a Module),
    Nothing,
}

impl ModuleTable {
    fn find(&self, name: &str) -> Found<'_> {
        let name = normal(name);
        if let Some((name, module)) = self.modules.get_key_value(&name) {
            return Found::Module(name, module);
        }
        if (self.built_in.as_ref()).is_some_and(|names| names.contains(&name)) {
            return Found::BuiltIn;
        }
        let answers = |module: &Module| module.aliases.contains(&name);
        let mut candidates = self.modules.iter().filter(|(_, m)| answers(m));
        // `crc32c` is crc32c_generic and, on some processors only, crc32c_intel: the generic one
        // loads everywhere.
        let first = candidates.clone().find(|(n, _)| n.ends_with("_generic"));
        match first.or_else(|| candidates.next()) {
            Some((name, module)) => Found::Module(name, module),
            None => Found::Nothing,
        }
    }

    /// Takes in `modules.builtin`: a path a line.
    pub(crate) fn add_built_in(&mut self, list: &str) {
        let names = list.lines().filter_map(|line| module_name(Path::new(line)));
        self.built_in.get_or_insert_default().extend(names);
    }

    /// Takes in `modules.builtin.modinfo`: NUL-terminated `module.key=value`, of which the
    /// aliases matter.
    pub(crate) fn add_built_in_aliases(&mut self, modinfo: &[u8]) {
        let built_in = self.built_in.get_or_insert_default();
        for item in modinfo.split(|b| *b == 0) {
            let text = String::from_utf8_lossy(item);
            let alias = text
                .split_once('.')
                .and_then(|(_, rest)| rest.strip_prefix("alias="));
            if let Some(alias) = alias.filter(|a| is_plain_alias(a)) {
                built_in.insert(normal(alias));
            }
        }
    }
}

/// A module's name by its file: `kernel/fs/overlayfs/overlay.ko.xz` → `overlay`. None where the
/// file is no module.
pub(crate) fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (stem, suffix) = file.split_once(".ko")?;
    matches!(suffix, "" | ".gz" | ".xz" | ".zst").then(|| normal(stem))
}

/// The name with `_` for `-`: the kernel takes them for the same.
pub(crate) fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// Whether an alias is a name, not a pattern over hardware ids (`pci:v00001AF4d*`).
pub(crate) fn is_plain_alias(alias: &str) -> bool {
    !alias.is_empty() && !alias.contains([':', '*', '?', '[', ','])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn module(depends: &[&str], prefers: &[&str], aliases: &[&str]) -> Module {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Module {
            path: PathBuf::from("kernel/x.ko.xz"),
            depends: names(depends),
            prefers: names(prefers),
            aliases: names(aliases),
        }
    }

    fn tree(modules: &[(&str, Module)], built_in: &str) -> ModuleTree {
        let mut table = ModuleTable::default();
        for (name, module) in modules {
            table.modules.insert((*name).to_owned(), module.clone());
        }
        table.add_built_in(built_in);
        ModuleTree::new("6.1.0", PathBuf::from("/m"), table)
    }

    fn names(tree: &ModuleTree, wanted: &[&str]) -> Result<Vec<String>, MissingModule> {
        let files = tree.closure(wanted)?;
        Ok(files.into_iter().map(|file| file.name).collect())
    }

    #[test]
    fn dashes_and_underscores_name_the_same_module() {
        let tree = tree(
            &[
                ("xt_mark", module(&["x-tables"], &[], &[])),
                ("x_tables", module(&[], &[], &[])),
            ],
            "",
        );
        assert_eq!(
            names(&tree, &["xt-mark", "xt_mark"]).unwrap(),
            ["x_tables", "xt_mark"]
        );
    }

    #[test]
    fn built_in_modules_and_aliases_are_left_out() {
        let mut table = ModuleTable::default();
        table.add_built_in("kernel/fs/ext4/ext4.ko\nkernel/lib/crc-x.ko\n");
        table.add_built_in_aliases(b"ext4.alias=fs-ext4\0ext4.alias=pci:v*\0");
        let tree = ModuleTree::new("6.1.0", PathBuf::new(), table);
        assert_eq!(
            names(&tree, &["ext4", "fs-ext4", "crc_x"]).unwrap(),
            [""; 0]
        );
        assert!(tree.has("ext4") && !tree.has("xfs"));
    }

    #[test]
    fn without_a_list_anything_may_be_built_in() {
        let mut table = ModuleTable::default();
        let overlay = module(&["exportfs"], &[], &[]);
        table.modules.insert("overlay".to_owned(), overlay);
        let tree = ModuleTree::new("6.1.0", PathBuf::new(), table);
        assert_eq!(names(&tree, &["ext4", "overlay"]).unwrap(), ["overlay"]);
        assert!(!tree.has("ext4"), "nothing says so");
    }

    #[test]
    fn of_several_that_answer_to_an_alias_the_generic_one_is_loaded() {
        let crc = || module(&[], &[], &["crc32c"]);
        let tree = tree(&[("crc32c_intel", crc()), ("crc32c_generic", crc())], "");
        assert_eq!(names(&tree, &["crc32c"]).unwrap(), ["crc32c_generic"]);
    }

    #[test]
    fn an_absent_preference_is_no_fault_and_an_absent_dependency_is() {
        let tree = tree(
            &[
                ("a", module(&["b"], &["absent"], &[])),
                ("b", module(&["gone"], &[], &[])),
            ],
            "",
        );
        let error = names(&tree, &["a"]).unwrap_err();
        assert_eq!(
            (error.name.as_str(), error.needed_by.as_deref()),
            ("gone", Some("b"))
        );
    }

    #[test]
    fn a_circle_ends() {
        let tree = tree(
            &[
                ("a", module(&["b"], &[], &[])),
                ("b", module(&["a"], &[], &[])),
            ],
            "",
        );
        assert_eq!(names(&tree, &["a"]).unwrap(), ["b", "a"]);
    }

    proptest! {
        /// Each module may depend on those with a smaller number.
        #[test]
        fn every_module_comes_once_and_after_what_it_depends_on(
            edges in proptest::collection::vec((0usize..20, 0usize..20), 0..60),
            wanted in proptest::collection::vec(0usize..20, 1..5),
        ) {
            let mut table = ModuleTable::default();
            for number in 0..20 {
                let depends = edges.iter().filter(|(from, to)| *from == number && to < from);
                let depends = depends.map(|(_, to)| format!("m{to}")).collect();
                table.modules.insert(format!("m{number}"), Module { depends, ..Module::default() });
            }
            let tree = ModuleTree::new("6.1.0", PathBuf::new(), table.clone());
            let wanted: Vec<String> = wanted.iter().map(|n| format!("m{n}")).collect();
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            let order = names(&tree, &wanted).unwrap();
            for (place, name) in order.iter().enumerate() {
                let before = &order[..place];
                prop_assert!(!before.contains(name));
                prop_assert!(table.modules[name].depends.iter().all(|d| before.contains(d)));
            }
            prop_assert!(wanted.iter().all(|w| order.iter().any(|name| name == w)));
        }
    }
}
