//! A local stand-in for home, standby, edge and the providers.
