//! The port to those who are told.
