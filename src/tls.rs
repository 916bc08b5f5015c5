//! TLS for everything that connects: roots, own CA files, client configurations.
