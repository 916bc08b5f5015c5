//! Every metric's name, help and label set in one struct.
