"""Tideline beside DuckDB and chDB, on the same events, in one run. `make bench` starts it."""
