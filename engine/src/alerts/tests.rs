//! The judge: a table of what happens, and what holds whatever happens.
