//! The admin server: routes, auth.
