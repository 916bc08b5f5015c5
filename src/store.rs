//! The versioned snapshot on disk: temp file, fsync, rename, fsync of the directory.
