//! Every bound on what a foreign image may cost. A hostile image is refused at the first bound
//! that it crosses, and honest images come nowhere near one.

/// Manifests, indexes and configurations, in bytes (registries accept 4 MiB).
pub const MAX_METADATA_BYTES: usize = 4 << 20;

/// All metadata that is read of one archive: 64 MiB.
pub const MAX_ARCHIVE_METADATA_BYTES: u64 = 64 << 20;

/// Layers of an image: what the overlay driver can mount.
pub const MAX_LAYERS: usize = crate::storage::MAX_LAYERS;

/// Images in one archive.
pub const MAX_IMAGES: usize = 1024;

/// How deep indexes may refer to indexes.
pub const MAX_INDEX_DEPTH: usize = 4;

/// Entries of a layer, or of an archive.
pub const MAX_ENTRIES: u64 = 1_000_000;

/// Bytes of the paths of all entries, which are kept until the last: a path takes up to 4096, so
/// those of [`MAX_ENTRIES`] would fill the memory. 128 MiB.
pub const MAX_PATHS_BYTES: usize = 128 << 20;

/// Bytes of one layer's tar, uncompressed: 64 GiB.
pub const MAX_LAYER_BYTES: u64 = 64 << 30;

/// Times that a layer may be larger than its compressed form, once it is larger than
/// [`RATIO_FREE_BYTES`]. Deflate cannot exceed 1032; text and empty disk images reach 200 to 900
/// honestly, so only what is near the worst is refused.
pub const MAX_RATIO: u64 = 1000;

/// Bytes of a layer from which [`MAX_RATIO`] counts: 256 MiB.
pub const RATIO_FREE_BYTES: u64 = 256 << 20;

/// Bytes of a path in a tar, as the kernel's `PATH_MAX`.
pub const MAX_PATH_BYTES: usize = 4096;

/// Bytes of a name in a path, as the kernel's `NAME_MAX`.
pub const MAX_NAME_BYTES: usize = 255;

/// Folders on the way to a file.
pub const MAX_DEPTH: usize = 256;

/// Bytes of one pax header, which may hold several 64 KiB attributes, or of a GNU long name.
pub const MAX_TAR_EXTENSION_BYTES: u64 = 1 << 20;

/// Pax and GNU headers in a row before the entry that they belong to.
pub const MAX_TAR_EXTENSIONS: u32 = 16;

/// Extended attributes of one file.
pub const MAX_XATTRS: usize = 128;
