//! Config: valid by construction, all complaints at once.
