"""Media types that schemathesis does not know: text and bytes go as they are, anything else as its JSON."""

import json

import schemathesis


@schemathesis.serializer("application/sql", "application/x-ndjson", "application/vnd.apache.arrow.stream")
def plain(_context, value):
    if isinstance(value, bytes):
        return value
    return value.encode(errors="replace") if isinstance(value, str) else json.dumps(value, default=str).encode()


@schemathesis.check
def no_server_error(_context, response, case):
    """No 5xx, but for a query that was given less time than it needs: that is 504, as it should be."""
    asked = "timeout_ms" in (case.query or {}) or "timeout_ms" in str(case.body)
    if response.status_code >= 500 and not (response.status_code == 504 and asked):
        raise AssertionError(f"{response.status_code}: {response.text[:300]}")
