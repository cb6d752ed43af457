"""Media types that schemathesis does not know: text and bytes go as they are, anything else as its JSON."""

import json

import schemathesis


@schemathesis.serializer("application/sql", "application/x-ndjson", "application/vnd.apache.arrow.stream")
def plain(_context, value):
    if isinstance(value, bytes):
        return value
    return value.encode(errors="replace") if isinstance(value, str) else json.dumps(value, default=str).encode()
