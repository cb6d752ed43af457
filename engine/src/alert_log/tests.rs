//! The log: what it keeps, over restarts and losses of power, and within its limits.
