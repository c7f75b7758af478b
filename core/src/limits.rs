//! The limits that every side checks, in one place.

/// Longest file name and xattr name, in bytes (Linux `NAME_MAX`, `XATTR_NAME_MAX`).
pub const NAME_BYTES_MAX: usize = 255;
/// Longest symbolic link target, in bytes (Linux `PATH_MAX` without the NUL).
pub const SYMLINK_BYTES_MAX: usize = 4095;
/// Largest xattr value, in bytes (Linux `XATTR_SIZE_MAX`).
pub const XATTR_VALUE_BYTES_MAX: usize = 65_536;
/// All names of a file's xattrs together, each with its NUL (Linux `XATTR_LIST_MAX`).
pub const XATTR_LIST_BYTES_MAX: usize = 65_536;
/// Largest file: 8 EiB less one page, so that the end of any page still fits Linux's `loff_t`.
pub const FILE_BYTES_MAX: u64 = i64::MAX as u64 - 4095;
/// Size that stat(2) shows of a directory, in bytes.
pub const DIRECTORY_BYTES: u64 = 4096;
/// Hard links to one file. ext4 stops at 65,000; ours only keeps the 32-bit count of stat(2) true.
pub const LINKS_MAX: u32 = 1_000_000_000;
/// Longest volume name, in bytes.
pub const VOLUME_NAME_BYTES_MAX: usize = 128;
/// Labels of one volume, and the length of each key and value in bytes.
pub const LABELS_MAX: usize = 64;
/// Longest label key and label value, in bytes.
pub const LABEL_BYTES_MAX: usize = 256;
/// Smallest quota of a volume in bytes; zero means "no limit".
pub const QUOTA_BYTES_MIN: u64 = 1 << 20;
/// Largest quota of a volume in bytes (1 EiB).
pub const QUOTA_BYTES_MAX: u64 = 1 << 60;
/// Writes up to this length travel inside their operation and live inline in the metadata log;
/// longer ones are staged ahead and live in segments.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// Longest frame: the piece of data with a checksum of its own, read and verified as a whole.
pub const FRAME_BYTES_MAX: usize = 64 << 10;
/// Longest first message of a control stream: it names every open file, lock and lease of a session, and
/// those of a full memory take more than other messages may.
pub const HELLO_BYTES_MAX: usize = 8 << 20;
/// Longest single write, staged data, or read request.
pub const IO_BYTES_MAX: usize = 1 << 20;
/// Data of a file that is shorter is not worth a place in a client's disk cache, unless the file ends with it:
/// a file of its own costs more than the way to the server.
pub const BLOCK_BYTES_MIN: usize = 16 << 10;
/// Longest range whose blocks are named at a time.
pub const BLOCKS_RANGE_MAX: usize = 16 << 20;
/// Stretches of data that one answer names.
pub const BLOCKS_MAX: usize = 2048;
/// Longest gRPC message that either side accepts: data and room for its header.
pub const MESSAGE_BYTES_MAX: usize = IO_BYTES_MAX + (64 << 10);
/// Operations in one batch on the wire.
pub const BATCH_OPS_MAX: usize = 1024;
/// Entries in one page of a directory listing.
pub const DIR_PAGE_ENTRIES_MAX: usize = 4096;
/// Operations that a session may have sent and not yet seen answered.
pub const UNANSWERED_OPS_MAX: usize = 4096;
/// Bytes that a session may have staged and not yet named in an operation.
pub const STAGED_BYTES_MAX: usize = 64 << 20;
