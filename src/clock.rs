//! The clocks: wall time, and monotonic time as core counts it.
