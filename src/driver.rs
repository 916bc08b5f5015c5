//! The single event loop of a site.
