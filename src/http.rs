//! The one client factory: timeouts, user agent, error mapping, Retry-After, redaction.
