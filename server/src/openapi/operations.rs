//! What each declared route takes and answers. A route without an entry here fails a test, and so does an entry without
//! its route.

/// A part of the API: name and what it is for.
pub const GROUPS: &[(&str, &str)] = &[
    ("Events", "Sending events. A 2xx means: on disk, and in the next query."),
    ("Segment", "Events from the SDKs of Segment and RudderStack."),
    ("PostHog", "Events from the SDKs of PostHog."),
    ("SQL", "Read-only SQL over the table `events` and the views beside it."),
    ("Metrics", "Fixed metrics: each is a file of SQL with typed parameters."),
    ("Real time", "The last minutes, from live windows that equal SQL; with `at` any other instant, from SQL."),
    ("Export", "Events and KPIs as files."),
    ("Live", "One picture a second, pushed to all who listen."),
    ("Session", "A browser exchanges a key for a cookie."),
    ("Administration", "Keys, maintenance, dead letters. All of it needs the scope `admin`."),
    ("Operations", "Health, version and this document."),
];

/// One body that is taken, or one kind of answer: media type, shape, example. A shape is a type of [`super::schema`], or
/// empty for bytes.
pub type Content = (&'static str, &'static str, &'static str);

/// What can go wrong with a request beyond what can go wrong with every one: status and codes.
pub type Refusal = (u16, &'static str);

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// `GET` and so on.
    pub method: &'static str,
    /// As the route is declared.
    pub path: &'static str,
    /// One of [`GROUPS`].
    pub group: &'static str,
    /// One line.
    pub summary: &'static str,
    /// More, in Markdown.
    pub description: &'static str,
    /// Parameters of the query, one a line; see [`super::schema`].
    pub params: &'static str,
    /// Bodies it takes; the first is the usual one.
    pub bodies: &'static [Content],
    /// Whether it needs one.
    pub body_required: bool,
    /// Good answers: status, what it means, what it is.
    pub answers: &'static [(u16, &'static str, &'static [Content])],
    /// Bad ones.
    pub refusals: &'static [&'static [Refusal]],
}

const NOTHING: Operation = Operation {
    method: "GET",
    path: "",
    group: "",
    summary: "",
    description: "",
    params: "",
    bodies: &[],
    body_required: false,
    answers: &[],
    refusals: &[],
};

const JSON: &str = "application/json";
const AT: &str = "at: text ~ 2026-01-31T12:00:00Z -- The instant instead of now: RFC 3339, or milliseconds since 1970";
const FORMAT_DOC: &str = "The format wins over `Accept`, and a suffix of the path (`.csv`) over both. All but `json` stream: an error after the \
     first rows aborts the transfer.";

/// Wrong parameters.
const PARAMS: &[Refusal] = &[(400, "unknown_parameter, repeated_parameter, invalid_parameter, invalid_query_string")];
/// What a query can end in.
const QUERY: &[Refusal] = &[
    (409, "cancelled"),
    (413, "memory_limit, spill_limit, function_limit, query_too_large, answer_too_large"),
    (503, "too_many_queries, shutting_down"),
    (504, "query_timeout"),
];
/// What a body can be refused for.
const BODY: &[Refusal] = &[
    (400, "incomplete_body, invalid_encoding, invalid_json"),
    (408, "body_timeout"),
    (413, "body_too_large, compression_ratio"),
    (415, "unsupported_media_type, unsupported_encoding"),
    (503, "too_many_requests_in_flight"),
];
/// What writing can be refused for.
const WRITE: &[Refusal] = &[(503, "disk_full, shutting_down, fatal")];
const NOT_ACCEPTABLE: &[Refusal] = &[(406, "not_acceptable")];
/// The text of a path that cannot be read.
const PATH: &[Refusal] = &[(400, "http_error, invalid_parameter"), (404, "not_found")];

/// Rows in every format. JSON is first, and has a shape of its own.
const ROWS: [Content; 4] = [
    ("application/x-ndjson", "text", ""),
    ("text/csv; charset=utf-8; header=present", "text", ""),
    ("application/vnd.apache.parquet", "", ""),
    ("application/vnd.apache.arrow.stream", "", ""),
];
const SQL_ROWS: &[Content] = &[(JSON, "SqlAnswer", ""), ROWS[0], ROWS[1], ROWS[2], ROWS[3]];
const EVENT_ROWS: &[Content] = &[ROWS[2], (JSON, "[object]", ""), ROWS[0], ROWS[1], ROWS[3]];
const KPI_ROWS: &[Content] = &[(JSON, "KpiDay", ""), ROWS[0], ROWS[1], ROWS[2], ROWS[3]];

const EVENT: &str = r#"{"event_id":"e1","event_type":"page_view","event_ts":"2026-01-31T12:00:00Z","session_id":"s1","user_id":"u1","page":"/"}"#;
const CLOUDEVENT: &str = r#"{"specversion":"1.0","id":"4711","source":"/shop","type":"com.example.shop.purchase","time":"2026-01-31T12:00:00Z","data":{"order_id":"4711","user_id":"u1","revenue":29.9,"currency":"EUR"}}"#;
const EVENTS: Operation = Operation {
    method: "POST",
    group: "Events",
    summary: "Send events",
    description: "One JSON object, an array, newline-delimited JSON, an Arrow stream, or CloudEvents 1.0 in JSON; plain, gzip or \
                  zstd. One bad event never costs its neighbours: it is named in the receipt and kept as a dead letter. \
                  `application/json` may hold lines as well; with `ce-id`, `ce-source`, `ce-type` and `ce-specversion` as \
                  headers it is the data of one CloudEvent.",
    params: "ack: one(durable,committed) = durable -- When to answer: once on disk, or once in the table's files",
    bodies: &[
        (JSON, "Event", EVENT),
        ("application/x-ndjson", "text", EVENT),
        ("text/plain", "text", ""),
        ("application/vnd.apache.arrow.stream", "", ""),
        ("application/cloudevents+json", "object", CLOUDEVENT),
        ("application/cloudevents-batch+json", "[object]", ""),
    ],
    body_required: true,
    answers: &[
        (202, "Stored: durable, and in the next query", &[(JSON, "Receipt", "")]),
        (422, "Nothing in the request was acceptable", &[(JSON, "Receipt", "")]),
    ],
    refusals: &[
        PARAMS,
        BODY,
        &[
            (400, "empty_body, invalid_arrow, compressed_arrow, invalid_header"),
            (413, "too_large, too_many_events, request_over_rate_limit"),
            (503, "full, dead_letters_full"),
        ],
        WRITE,
    ],
    ..NOTHING
};

const MESSAGE: &str = r#"{"type":"track","event":"Product Added","messageId":"m1","userId":"u1","anonymousId":"a1","properties":{"product_id":"p1","price":12.5,"quantity":1},"timestamp":"2026-01-31T12:00:00Z","writeKey":"tl_…"}"#;
const BATCH: &str = r#"{"batch":[{"type":"track","event":"Product Added","messageId":"m1","userId":"u1","anonymousId":"a1","properties":{"product_id":"p1","price":12.5,"quantity":1},"timestamp":"2026-01-31T12:00:00Z"}],"sentAt":"2026-01-31T12:00:01Z","writeKey":"tl_…"}"#;
const SEGMENT: Operation = Operation {
    method: "POST",
    group: "Segment",
    summary: "Send one message",
    description: "Of Segment's and RudderStack's SDKs: their `host` or data plane is this server. The key is the user name of Basic \
                  authentication, or `writeKey` in the body; without keys on this server it is not looked at. Content-Type is \
                  not looked at either, gzip is taken, and a batch may come to any of these paths. A message that cannot be \
                  accepted is kept as a dead letter and costs its neighbours nothing.",
    bodies: &[(JSON, "object", MESSAGE), ("text/plain", "text", "")],
    body_required: true,
    answers: &[(200, "Stored: durable, and in the next query", &[(JSON, "Success", "")])],
    refusals: &[
        BODY,
        &[
            (400, "empty_body, nothing_accepted"),
            (413, "too_large, too_many_events, request_over_rate_limit"),
            (503, "full, dead_letters_full"),
        ],
        WRITE,
    ],
    ..NOTHING
};
const SEGMENT_BATCH: Operation = Operation {
    summary: "Send a batch of messages",
    bodies: &[(JSON, "object", BATCH), ("text/plain", "text", "")],
    ..SEGMENT
};

const CAPTURE: &str = r#"{"api_key":"tl_…","event":"$pageview","distinct_id":"u1","properties":{"$current_url":"https://shop.example/p"},"timestamp":"2026-01-31T12:00:00Z","uuid":"01943bd0-0000-7000-8000-000000000000"}"#;
const CAPTURES: &str = r#"{"api_key":"tl_…","batch":[{"event":"Product Added","distinct_id":"u1","properties":{"product_id":"p1","price":12.5},"timestamp":"2026-01-31T12:00:00Z","uuid":"01943bd0-0000-7000-8000-000000000001"}],"sent_at":"2026-01-31T12:00:01Z"}"#;
const POSTHOG: Operation = Operation {
    method: "POST",
    group: "PostHog",
    summary: "Send one event",
    description: "Of PostHog's SDKs: their `host` is this server. The key is `api_key` in the body, or one in a header; without keys \
                  on this server it is not looked at. Content-Type is not looked at either; gzip is taken, also where the query \
                  names it (`compression=gzip-js`). One event, an array or a batch may come to any of these paths. An event that \
                  cannot be accepted is kept as a dead letter and costs its neighbours nothing.",
    bodies: &[(JSON, "object", CAPTURE), ("text/plain", "text", "")],
    answers: &[(200, "Stored: durable, and in the next query", &[(JSON, "Captured", "")])],
    ..SEGMENT
};

const SQL_PARAMS: &str =
    "q?: text ~ SELECT event_type, count(*) AS events FROM events GROUP BY 1 -- The SQL: one statement that reads
     params: text ~ {\"day\":\"2026-01-31\"} -- Values of `$name` in it, as a JSON object
     format: one(json,ndjson,csv,parquet,arrow) -- The format of the answer
     limit: int 0.. -- Most rows wanted
     timeout_ms: int 1.. -- Most time it may take";
const SQL_REFUSALS: &[&[Refusal]] = &[
    PARAMS,
    QUERY,
    NOT_ACCEPTABLE,
    &[
        (
            400,
            "missing_query, syntax_error, unknown_table, unknown_column, unknown_function, ambiguous_column, \
               type_error, plan_error, missing_parameter, division_by_zero, arithmetic_overflow, execution_error, \
               not_supported, query_too_complex",
        ),
        (403, "read_only"),
    ],
];
const SQL_GET: Operation = Operation {
    group: "SQL",
    summary: "Ask SQL",
    description: FORMAT_DOC,
    params: SQL_PARAMS,
    answers: &[(200, "The rows", SQL_ROWS)],
    refusals: SQL_REFUSALS,
    ..NOTHING
};
const SQL_POST: Operation = Operation {
    method: "POST",
    bodies: &[
        (
            JSON,
            "SqlRequest",
            r#"{"q":"SELECT count(*) AS events FROM events WHERE event_date = $day","params":{"day":"2026-01-31"}}"#,
        ),
        ("application/sql", "text", "SELECT event_type, count(*) AS events FROM events GROUP BY 1"),
        ("text/plain", "text", ""),
    ],
    refusals: &[PARAMS, QUERY, NOT_ACCEPTABLE, SQL_REFUSALS[3], BODY, &[(400, "invalid_utf8, invalid_form")]],
    ..SQL_GET
};

const EXPORT_EVENTS: Operation = Operation {
    group: "Export",
    summary: "The events of a span of time",
    description: "Newest first, every column, from one state of the table, buffered events included. `json` and `ndjson` leave \
                  out what the server sets itself, so that each event can be sent to it again. A suffix of the path \
                  (`.csv`) wins over `format`, and that over `Accept`. It streams: an error after the first rows \
                  aborts the transfer. It may take `query.max_timeout`.",
    params: "start_time!: text ~ 2026-01-31T00:00:00Z -- From this time on: RFC 3339 (without a zone in UTC), a day, or milliseconds since 1970
             end_time!: text ~ 2026-02-01T00:00:00Z -- Until before this time
             format: one(json,ndjson,csv,parquet,arrow) = parquet -- The format of the answer",
    answers: &[(200, "The events", EVENT_ROWS)],
    refusals: &[PARAMS, QUERY, NOT_ACCEPTABLE, &[(400, "missing_parameter, invalid_range")]],
    ..NOTHING
};
const EXPORT_KPIS: Operation = Operation {
    group: "Export",
    summary: "The KPIs of a day, minute by minute",
    description: "Every complete minute of a day of the shop's time zone, oldest first, as `/kpis/history` defines them.",
    params: "date!: date ~ 2026-01-31 -- The day, not in the future
             format: one(json,ndjson,csv,parquet,arrow) = json -- The format of the answer",
    answers: &[(200, "The minutes", KPI_ROWS)],
    refusals: &[PARAMS, QUERY, NOT_ACCEPTABLE, &[(400, "missing_parameter")]],
    ..NOTHING
};

const REAL_TIME: Operation = Operation { group: "Real time", refusals: &[PARAMS, QUERY], ..NOTHING };
const ADMIN: Operation = Operation { method: "POST", group: "Administration", refusals: &[WRITE], ..NOTHING };
const LETTERS: Operation = Operation { method: "GET", refusals: &[PARAMS, &[(404, "no_such_letter")]], ..ADMIN };
const PAGE: Operation = Operation { group: "Operations", ..NOTHING };
const HTML: &str = "text/html; charset=utf-8";
const VIEW: Operation =
    Operation { answers: &[(200, "The page, which reads its address", &[(HTML, "text", "")])], ..PAGE };

/// Every operation but those of metrics, which the catalogue knows, and of suffixes, which are those of their path.
pub const OPERATIONS: &[Operation] = &[
    Operation { path: "/events", ..EVENTS },
    Operation { path: "/ingest", summary: "Send events (the same as /events)", ..EVENTS },
    Operation { path: "/sql", ..SQL_GET },
    Operation { path: "/sql", ..SQL_POST },
    Operation {
        method: "DELETE",
        path: "/queries/{id}",
        group: "SQL",
        summary: "Stop a query",
        description: "Its id is in the header `X-Query-Id` of its answer. A client that disconnects stops its query as well.",
        answers: &[(202, "It was told to stop", &[(JSON, "QueryCancelled", "")])],
        refusals: &[PATH, &[(404, "query_not_found")]],
        ..NOTHING
    },
    Operation {
        path: "/analytics",
        group: "Metrics",
        summary: "List the fixed metrics",
        answers: &[(200, "They, with parameters, columns and SQL", &[(JSON, "MetricList", "")])],
        ..NOTHING
    },
    Operation {
        path: "/alerts",
        group: "Metrics",
        summary: "What is wrong now, what was, and how the rules are",
        description: "Open alerts first, then the latest. SQL has them all, as the table `alerts`.",
        params: "status: one(open,closed,all) = all -- Which alerts
                 limit: int 1..1000 = 100 -- Alerts listed",
        answers: &[(200, "Alerts, rules, and notices that no receiver took", &[(JSON, "AlertList", "")])],
        refusals: &[PARAMS],
        ..NOTHING
    },
    Operation { path: "/export/events", ..EXPORT_EVENTS },
    Operation { path: "/export/kpis", ..EXPORT_KPIS },
    Operation {
        path: "/metrics",
        summary: "The server's own figures, or users, sessions and pages",
        description: "Prometheus' text 0.0.4, or OpenMetrics 1.0 where that is asked for; with `Accept: application/json` a \
                      summary of the last minutes.",
        params: "minutes: int 1..1440 = 5 -- How far back
                 limit: int 1..1000 = 5 -- Pages listed",
        answers: &[(
            200,
            "The figures",
            &[
                ("text/plain; version=0.0.4; charset=utf-8", "text", ""),
                ("application/openmetrics-text; version=1.0.0; charset=utf-8", "text", ""),
                (JSON, "Summary", ""),
            ],
        )],
        refusals: &[PARAMS, QUERY, NOT_ACCEPTABLE],
        ..REAL_TIME
    },
    Operation {
        path: "/metrics/active_users",
        summary: "How many users are active",
        params: "minutes: int 1..1440 = 5 -- How far back",
        answers: &[(200, "Distinct users with an event in the last minutes", &[(JSON, "ActiveUsers", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/metrics/active_sessions",
        summary: "How many sessions are active, or one user's",
        params: "user_id: text ~ u_1 -- Only this user's, by name
                 minutes: int 1..1440 = 5 -- How far back",
        answers: &[(200, "Distinct sessions with an event in the last minutes", &[(JSON, "ActiveSessions", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/metrics/top_pages",
        summary: "The most viewed pages",
        params: "minutes: int 1..1440 = 15 -- One-minute buckets, the current one included
                 limit: int 1..1000 = 5 -- Pages listed",
        answers: &[(200, "Page views by page", &[(JSON, "TopPages", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/users/active",
        summary: "Who is active",
        params: "minutes: int 1..1440 = 5 -- How far back
                 limit: int 1..1000 = 100 -- Users listed",
        answers: &[(200, "Users, the latest first", &[(JSON, "Users", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/users/{id}/sessions",
        summary: "A user's sessions",
        params: "minutes: int 1..1440 = 5 -- How far back",
        answers: &[(200, "Sessions, the latest first", &[(JSON, "UserSessions", "")])],
        refusals: &[PARAMS, QUERY, PATH],
        ..REAL_TIME
    },
    Operation {
        path: "/sessions/active",
        summary: "How many sessions, and whose",
        params: "minutes: int 1..1440 = 5 -- How far back
                 limit: int 1..1000 = 100 -- Users listed",
        answers: &[(200, "Sessions, in all and by user", &[(JSON, "Sessions", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/kpis/latest",
        summary: "The last complete minute",
        answers: &[(200, "Its KPIs", &[(JSON, "LatestKpi", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/kpis/history",
        summary: "KPIs, minute by minute",
        params: "minutes_back: int 1..1440 = 60 -- How far back",
        answers: &[(200, "Complete minutes, newest first", &[(JSON, "KpiHistory", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/funnel/current",
        summary: "View, cart, checkout, purchase",
        params: "minutes: int 1..1440 = 60 -- How far back",
        answers: &[(200, "Sessions at each step, in this order", &[(JSON, "Funnel", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/api/analytics/metrics",
        summary: "Totals and a series of everything",
        params: "minutes: int 1..1440 = 60 -- One-minute buckets, the current one included",
        answers: &[(200, "Sums, and each minute", &[(JSON, "AnalyticsMetrics", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/api/analytics/page-views",
        summary: "Page views: total, series, pages",
        params: "minutes: int 1..1440 = 60 -- One-minute buckets, the current one included
                 limit: int 1..1000 = 10 -- Pages listed",
        answers: &[(200, "Page views", &[(JSON, "AnalyticsPageViews", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/api/analytics/cart-actions",
        summary: "Cart actions: totals and a series",
        params: "minutes: int 1..1440 = 60 -- One-minute buckets, the current one included",
        answers: &[(200, "Adding, removing and looking", &[(JSON, "AnalyticsCartActions", "")])],
        ..REAL_TIME
    },
    Operation {
        path: "/live",
        group: "Live",
        summary: "Server-sent events",
        description: "A `snapshot`, then a `tick` a second, each a whole picture. `id:` is set; a comment is sent every \
                      `live.heartbeat` when nothing else is.",
        answers: &[(200, "The stream", &[("text/event-stream", "text", "")])],
        refusals: &[PARAMS, &[(503, "too_many_listeners")]],
        ..NOTHING
    },
    Operation {
        path: "/ws",
        group: "Live",
        summary: "WebSocket",
        description: "The same picture as `{\"type\":\"tick\",\"payload\":{…}}`. What clients say is ignored.",
        answers: &[(101, "The connection is a WebSocket now", &[])],
        refusals: &[PARAMS, &[(426, "not_a_websocket"), (503, "too_many_listeners")]],
        ..NOTHING
    },
    Operation {
        method: "POST",
        path: "/session",
        group: "Session",
        summary: "Begin a session",
        description: "The key as a body, or as any request sends it. The cookie is `HttpOnly` and `SameSite=Strict`.",
        bodies: &[(JSON, "Login", r#"{"key":"tl_…"}"#)],
        answers: &[(201, "The cookie, and who it stands for", &[(JSON, "Session", "")])],
        refusals: &[BODY, &[(400, "no_keys"), (401, "key_unknown, key_revoked, key_expired, credential_invalid")]],
        ..NOTHING
    },
    Operation {
        path: "/session",
        group: "Session",
        summary: "Who is asking",
        answers: &[(200, "The key or session of this request", &[(JSON, "Session", "")])],
        ..NOTHING
    },
    Operation {
        method: "DELETE",
        path: "/session",
        group: "Session",
        summary: "End the session",
        answers: &[(204, "It has ended", &[])],
        ..NOTHING
    },
    Operation {
        path: "/session/oidc",
        group: "Session",
        summary: "Sign in with an OpenID provider",
        description: "Where browsers go. The authorization code flow with PKCE; the cookie that is set with it is for the way \
            back. Without a provider in the settings (`oidc.issuer`) there is nothing here.",
        answers: &[(303, "To the provider; or to the page, which says in `sign_in` what is wrong", &[])],
        refusals: &[&[(404, "single_sign_on_off")]],
        ..NOTHING
    },
    Operation {
        path: "/session/oidc/callback",
        group: "Session",
        summary: "Come back from the OpenID provider",
        description: "Begins a session, with the scopes that `oidc.allow_read` and `oidc.allow_admin` give. Other parameters of \
            the provider's are passed over.",
        params: "state: text -- What the browser was sent with
             code: text -- What an ID token is given for
             iss: text -- The provider, where it says so
             error: text -- Why it refused",
        answers: &[(
            303,
            "To the page, with a session's cookie; or without one, and then `sign_in` is `unreachable`, `expired`, \
             `refused`, `invalid` or `not_allowed`",
            &[],
        )],
        refusals: &[&[(404, "single_sign_on_off")]],
        ..NOTHING
    },
    Operation {
        method: "GET",
        path: "/admin/keys",
        summary: "List the keys",
        answers: &[(200, "They, without their secrets", &[(JSON, "KeyList", "")])],
        refusals: &[],
        ..ADMIN
    },
    Operation {
        path: "/admin/keys",
        summary: "Make a key",
        description: "The first must have the scope `admin`; from then on every request needs a key.",
        bodies: &[(JSON, "NewKey", r#"{"name":"web shop","scopes":["ingest"],"expires_in":"90d"}"#)],
        body_required: true,
        answers: &[(201, "The key: it is shown this once", &[(JSON, "Key", "")])],
        refusals: &[BODY, WRITE, &[(400, "invalid_key, first_key_not_admin, too_many_keys")]],
        ..ADMIN
    },
    Operation {
        method: "DELETE",
        path: "/admin/keys/{id}",
        summary: "Revoke a key",
        answers: &[(200, "It is no longer good", &[(JSON, "Key", "")])],
        refusals: &[PATH, WRITE, &[(404, "key_not_found")]],
        ..ADMIN
    },
    Operation {
        path: "/admin/flush",
        summary: "Move the buffer to the table's files",
        answers: &[(200, "Done", &[(JSON, "FlushReport", "")])],
        ..ADMIN
    },
    Operation {
        path: "/admin/compact",
        summary: "Merge small files",
        answers: &[(200, "Done", &[(JSON, "CompactReport", "")])],
        ..ADMIN
    },
    Operation {
        method: "GET",
        path: "/admin/queries",
        summary: "List the queries that run, and those that were slow",
        description: "Of all clients, and of the server's own. Texts are shortened, kept in memory only, and forgotten when a \
                      person is erased. `query.slow_after` says what is slow; `DELETE /queries/{id}` cancels one that runs.",
        answers: &[(
            200,
            "The running ones, the oldest first, and the latest hundred slow ones, the latest first",
            &[(JSON, "QueryList", "")],
        )],
        refusals: &[],
        ..ADMIN
    },
    Operation {
        path: "/admin/retain",
        summary: "Remove what is older than the retention",
        answers: &[(200, "Done", &[(JSON, "RetainReport", "")])],
        ..ADMIN
    },
    Operation {
        path: "/admin/vacuum",
        summary: "Delete files the table no longer names",
        answers: &[(200, "Done", &[(JSON, "VacuumReport", "")])],
        ..ADMIN
    },
    Operation {
        method: "GET",
        path: "/admin/backup",
        summary: "Copy everything the data folder holds",
        description: "A tar file of everything as it is now, while the server goes on; the last file, `MANIFEST.json`, has \
                      every other one's length and CRC32C, and a copy without it broke off. `tideline backup` takes it, \
                      `tideline restore` makes a data folder of it.",
        params: "keys: one(true,false) = true -- Whether the keys, which are hashes, are in it",
        answers: &[(200, "The copy", &[("application/x-tar", "", "")])],
        refusals: &[PARAMS, &[(503, "folder_busy")]],
        ..ADMIN
    },
    Operation {
        path: "/admin/erase",
        summary: "Remove a person",
        description: "From the log, the table and its history, live windows, dead letters and all that is kept in memory; then \
                      every file is searched. It answers when it is done, and runs to its end also when nobody waits. Asked \
                      again after an error it goes on.",
        bodies: &[(JSON, "EraseRequest", r#"{"user_id":"u_204983"}"#)],
        body_required: true,
        answers: &[(200, "What was found and removed, place by place", &[(JSON, "EraseReport", "")])],
        refusals: &[
            BODY,
            WRITE,
            &[(400, "invalid_person"), (413, "too_many_erased"), (503, "folder_busy, still_read, log_stays")],
        ],
        ..ADMIN
    },
    Operation {
        path: "/admin/dead-letters",
        summary: "List events that were not accepted",
        params: "code: text ~ missing_field -- With this code
                 source: text -- Through this source
                 key: text -- With this API key's id; empty for none
                 field: text -- With this field
                 since: text -- Received at or after this time
                 until: text -- Received before this time
                 status: one(open,replayed,dropped,all) = open -- What became of them
                 after: text -- The `next` of the page before
                 limit: int 1..1000 = 100 -- Letters on a page",
        answers: &[(200, "A page of them", &[(JSON, "LetterPage", "")])],
        ..LETTERS
    },
    Operation {
        method: "DELETE",
        path: "/admin/dead-letters",
        summary: "Drop dead letters",
        params: "id: text -- These, separated by commas
                 code: text -- With this code
                 source: text -- Through this source
                 key: text -- With this API key's id; empty for none
                 field: text -- With this field
                 since: text -- Received at or after this time
                 until: text -- Received before this time
                 all: one(true,false) -- All of them",
        answers: &[(200, "Dropped", &[(JSON, "DropReport", "")])],
        refusals: &[PARAMS, WRITE, &[(400, "missing_filter")]],
        ..LETTERS
    },
    Operation {
        method: "POST",
        path: "/admin/dead-letters/replay",
        summary: "Send dead letters again",
        description: "Each event once, however often it is run or interrupted. A mapping or fixes change the events.",
        bodies: &[(
            JSON,
            "ReplayRequest",
            r#"{"filter":{"code":"missing_field"},"fixes":{"currency":"EUR"},"dry_run":true}"#,
        )],
        answers: &[(200, "Done, or what would be", &[(JSON, "ReplayReport", "")])],
        refusals: &[PARAMS, BODY, WRITE, &[(400, "invalid_mapping"), (404, "no_such_letter")]],
        ..LETTERS
    },
    Operation {
        path: "/admin/dead-letters/{id}",
        summary: "One dead letter",
        answers: &[(200, "It", &[(JSON, "Letter", "")])],
        refusals: &[PATH, &[(404, "no_such_letter")]],
        ..LETTERS
    },
    Operation { path: "/v1/batch", ..SEGMENT_BATCH },
    Operation { path: "/v1/b", ..SEGMENT_BATCH },
    Operation { path: "/v1/import", ..SEGMENT_BATCH },
    Operation { path: "/v1/track", ..SEGMENT },
    Operation { path: "/v1/t", ..SEGMENT },
    Operation { path: "/v1/page", ..SEGMENT },
    Operation { path: "/v1/p", ..SEGMENT },
    Operation { path: "/v1/screen", ..SEGMENT },
    Operation { path: "/v1/s", ..SEGMENT },
    Operation { path: "/v1/identify", ..SEGMENT },
    Operation { path: "/v1/i", ..SEGMENT },
    Operation { path: "/v1/group", ..SEGMENT },
    Operation { path: "/v1/g", ..SEGMENT },
    Operation { path: "/v1/alias", ..SEGMENT },
    Operation { path: "/v1/a", ..SEGMENT },
    Operation {
        path: "/batch/",
        summary: "Send a batch of events",
        bodies: &[(JSON, "object", CAPTURES), ("text/plain", "text", "")],
        ..POSTHOG
    },
    Operation { path: "/capture/", ..POSTHOG },
    Operation { path: "/e/", ..POSTHOG },
    Operation { path: "/i/v0/e/", ..POSTHOG },
    Operation {
        path: "/v1/projects/{key}/settings",
        group: "Segment",
        summary: "What Segment's browser SDK asks first",
        description: "It names this server as the one to send to. `key` is the key the page sends its events with.",
        answers: &[(200, "The settings", &[(JSON, "object", "")])],
        refusals: &[PATH, &[(401, "key_unknown, key_revoked, key_expired, key_missing"), (403, "scope_missing")]],
        ..NOTHING
    },
    Operation {
        path: "/health",
        summary: "Status, and each dependency's",
        answers: &[
            (200, "Requests may be sent here", &[(JSON, "Health", "")]),
            (503, "They should not", &[(JSON, "Health", "")]),
        ],
        ..PAGE
    },
    Operation {
        path: "/health/live",
        summary: "The process runs",
        answers: &[(200, "It does", &[(JSON, "Status", "")])],
        ..PAGE
    },
    Operation {
        path: "/health/ready",
        summary: "Requests may be sent here",
        answers: &[(200, "They may", &[(JSON, "Status", "")]), (503, "They should not", &[(JSON, "Status", "")])],
        ..PAGE
    },
    Operation {
        path: "/version",
        summary: "Name and version",
        answers: &[(200, "They", &[(JSON, "Version", "")])],
        ..PAGE
    },
    Operation {
        path: "/",
        summary: "The page, or what is here as text",
        description: "Browsers, which ask for `text/html`, get the page.",
        answers: &[(
            200,
            "For someone who opens the address",
            &[("text/plain; charset=utf-8", "text", ""), (HTML, "text", "")],
        )],
        ..PAGE
    },
    Operation { path: "/history", summary: "The page: any metric over time", ..VIEW },
    Operation { path: "/console", summary: "The page: SQL", ..VIEW },
    Operation { path: "/operations", summary: "The page: how the server is", ..VIEW },
    Operation {
        path: "/config",
        summary: "What the page must know before anybody has signed in",
        answers: &[(200, "Nothing of it is secret", &[(JSON, "PageConfig", "")])],
        ..PAGE
    },
    Operation {
        path: "/openapi.json",
        summary: "This document",
        answers: &[(200, "OpenAPI 3.1", &[(JSON, "object", "")]), (304, "It has not changed", &[])],
        ..PAGE
    },
    Operation {
        path: "/docs",
        summary: "This document as a page",
        answers: &[(200, "The page", &[(HTML, "text", "")])],
        ..PAGE
    },
    Operation {
        path: "/docs/docs.js",
        summary: "The page's script",
        answers: &[(200, "It", &[("text/javascript; charset=utf-8", "text", "")])],
        ..PAGE
    },
    Operation {
        path: "/docs/docs.css",
        summary: "The page's style",
        answers: &[(200, "It", &[("text/css; charset=utf-8", "text", "")])],
        ..PAGE
    },
];

/// Whether an operation takes `at`: everything in real time that answers with JSON.
pub fn at(operation: &Operation) -> &'static str {
    if operation.group == "Real time" { AT } else { "" }
}
