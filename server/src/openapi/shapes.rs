//! The shapes of answers and bodies, each a table of its members (see [`super::schema`]).

/// Name, what it is, members.
pub const SHAPES: &[(&str, &str, &str)] = &[
    (
        "Problem",
        "Every error (RFC 9457).",
        "type: text -- `urn:tideline:problem:` and the code
         title: text -- The status in words
         status: int 400..599 -- The status
         detail: text -- One sentence for people
         message: text -- The same
         code: text -- Stable, for programs
         hint?: text -- What to do
         request_id: text -- Names the request in the server's log
         position?: Position -- Where in an SQL text
         did_you_mean?: text -- The nearest name that exists",
    ),
    ("Position", "A place in an SQL text.", "line: int 0.. -- From 1\ncolumn: int 0.. -- From 1, in characters"),
    (
        "Event",
        "An event. Further members are kept in `properties`; nested spellings (`utm.source`, `geo.country`) are taken too.",
        "event_type?: text -- page_view, product_view, add_to_cart, checkout_start, purchase, refund … or any other name
         event_ts?: any -- When it happened: RFC 3339, or milliseconds since 1970
         event_id?: text -- The client's id; the same id again is a duplicate. Without it one is derived from the content
         user_id?: text -- A known user
         anonymous_id?: text -- An unknown visitor
         session_id?: text -- The visit
         page?: text -- Path or URL
         product_id?: text -- The product it is about
         price?: any -- Of one unit: a number, or text with a decimal point
         quantity?: int -- Units
         currency?: text -- ISO 4217
         order_id?: text -- The order
         revenue?: any -- Value of the order, where the client states it
         items?: [object] -- Lines of the order or cart",
    ),
    (
        "Receipt",
        "What became of each event of a request.",
        "status: one(accepted,rejected) -- `rejected` when nothing in it was acceptable
         accepted: int 0.. -- Events stored
         duplicates: int 0.. -- Events that were stored before
         rejected: int 0.. -- Events that were not accepted: kept as dead letters, but for those of people erased since
         errors: [EventError] -- The first of the errors
         errors_total: int 0.. -- How many there are
         seq?: SeqRange -- Where the stored events stand",
    ),
    ("Success", "What Segment's SDKs expect.", "success: any -- Always true"),
    ("Captured", "What PostHog's SDKs expect.", "status: int -- Always 1"),
    (
        "EventError",
        "Why an event was not accepted.",
        "index: int 0.. -- Which event of the request, from 0
         field: text -- The field that is wrong
         code: text -- Stable, for programs
         message: text -- For people",
    ),
    ("SeqRange", "Positions in the node's history.", "first: int -- The first\nlast: int -- The last"),
    (
        "SqlRequest",
        "A query.",
        "q?: text -- The SQL: one statement that reads
         params?: object -- Values of `$name` in it; they are bound, never spliced
         format?: text -- json, ndjson, csv, parquet or arrow
         limit?: int 0.. -- Most rows wanted
         timeout_ms?: int 1.. -- Most time it may take",
    ),
    (
        "SqlAnswer",
        "Rows with their columns, and what it took to answer.",
        "query_id: text -- For `DELETE /queries/{id}`
         meta: [SqlColumn] -- The columns
         data: [object] -- The rows; decimals are texts, so that no digit is lost
         rows: int 0.. -- How many
         truncated: bool -- Whether there are more than JSON may have (`query.json_rows`)
         statistics: SqlStatistics -- What was read
         freshness: Freshness -- How current it is",
    ),
    ("SqlColumn", "A column.", "name: text -- Its name\ntype: text -- Its type, as Arrow names it"),
    (
        "SqlStatistics",
        "What a query took.",
        "elapsed_ms: number -- From planning to the last row
         rows_read: int 0.. -- Rows read from files and from the buffer
         bytes_read: int 0.. -- Bytes read from files",
    ),
    (
        "Freshness",
        "How current an answer is.",
        "through: time? -- Until when events are in it
         lake_version: int -- The table's version it was read at
         buffered_rows: int 0.. -- Rows that were not yet in the table's files",
    ),
    (
        "QueryCancelled",
        "A query that was told to stop.",
        "query_id: text -- Which\nstatus: one(cancelled) -- What became of it",
    ),
    (
        "MetricList",
        "Every fixed metric, and what is wrong with files.",
        "metrics: [MetricDescription] -- They\nproblems: [object] -- Files that cannot be used, with line and column",
    ),
    (
        "MetricDescription",
        "A fixed metric.",
        "name: text -- Its name
         path: text -- Where it is
         paths: [text] -- Further paths
         summary: text -- One line
         description: text -- More, in Markdown
         params: [object] -- Its parameters with type, default and bounds
         compare: bool -- Whether it takes `compare=previous`
         columns: [MetricColumn] -- Its columns
         chart: text? -- How it is best drawn
         cache_seconds: int 0.. -- How long an answer may be kept
         version: text -- Another when its definition changes
         origin: text -- Where its file comes from
         warning?: text -- Why this is not the file as it is now
         sql: text -- Its query",
    ),
    (
        "MetricColumn",
        "A column of a metric.",
        "name: text -- Its name\ntype: text -- Its type\nunit: text? -- What its values are: money, count, ratio …",
    ),
    (
        "Standing",
        "Where a real-time answer comes from.",
        "at: time -- The instant it is about
         source: one(windows,sql) -- Live windows, or SQL for other instants and longer spans
         applied_seq: int 0.. -- Every event up to this position is in it
         degraded?: bool -- Present, and true, while the windows may not have everything
         degraded_reason?: text -- Why",
    ),
    (
        "ActiveUsers",
        "Distinct users.",
        "window_minutes: int -- How many minutes back
         active_users: int 0.. -- Distinct users with an event in them
         exact: bool -- Whether that is exact
         ...Standing",
    ),
    (
        "ActiveSessions",
        "Distinct sessions, or one user's with `user_id`.",
        "window_minutes: int -- How many minutes back
         user_id?: text -- Whose, where one was asked for
         active_sessions: any -- How many; with `user_id` their ids, the latest first
         sessions?: [Seen] -- With `user_id`: the same with times
         count: int 0.. -- How many
         exact?: bool -- Whether that is exact
         ...Standing",
    ),
    (
        "UserSessions",
        "One user's sessions.",
        "window_minutes: int -- How many minutes back
         user_id: text -- Whose
         active_sessions: [text] -- Their ids, the latest first
         sessions: [Seen] -- The same with times
         count: int 0.. -- How many
         ...Standing",
    ),
    (
        "Seen",
        "An id and when it was last seen.",
        "session_id?: text -- The session\nuser_id?: text -- The user\nlast_seen: time -- Its latest event",
    ),
    ("PageViews", "A page of a ranking.", "page: text -- The page\nviews: int 0.. -- Its views"),
    (
        "TopPages",
        "The most viewed pages.",
        "window_minutes: int -- One-minute buckets, the current one included
         top_pages: [PageViews] -- The most viewed first
         exact: bool -- Whether every page was told apart
         ...Standing",
    ),
    (
        "Users",
        "Who is there.",
        "window_minutes: int -- How many minutes back
         users: [Seen] -- The latest first
         user_ids: [text] -- The same, their ids only
         active_users: int 0.. -- How many, listed or not
         count: int 0.. -- The same
         exact: bool -- Whether that is exact
         ...Standing",
    ),
    ("SessionCount", "A user's number of sessions.", "user_id: text -- Whose\nsessions: int 0.. -- How many"),
    (
        "Sessions",
        "How many sessions, and whose.",
        "window_minutes: int -- How many minutes back
         count: int 0.. -- Distinct sessions with an event in them
         active_sessions: int 0.. -- The same
         active_users: int 0.. -- Distinct users with an event in them
         avg_sessions_per_user: number? -- Sessions / users
         sessions_per_user: [SessionCount] -- By user, the latest first
         exact: bool -- Whether the numbers are exact
         ...Standing",
    ),
    (
        "Summary",
        "Users, sessions and pages.",
        "window_minutes: int -- How many minutes back users and sessions are counted
         active_users: int 0.. -- Distinct users
         active_sessions: int 0.. -- Distinct sessions
         avg_sessions_per_user: number? -- Sessions / users
         top_pages: [PageViews] -- The most viewed pages of the last 15 minutes
         exact: bool -- Whether the numbers are exact
         ...Standing",
    ),
    (
        "Kpi",
        "One minute's KPIs.",
        "_id: time -- The minute's begin
         window_start: time -- The same
         window_end: time -- The minute's end
         final: bool -- Whether late events can no longer change it (`hot.late_after`)
         exact: bool -- Whether distinct counts are exact
         metrics: KpiFigures -- The figures
         performance: KpiPerformance -- From an event's arrival to being visible",
    ),
    (
        "KpiFigures",
        "A minute's figures. A rate is null where its denominator is 0.",
        "events: int 0.. -- Events
         sessions: int 0.. -- Distinct sessions
         unique_users: int 0.. -- Distinct users
         page_views: int 0.. -- Page views
         product_views: int 0.. -- Product views
         add_to_carts: int 0.. -- Additions to carts
         checkouts: int 0.. -- Checkouts started
         purchases: int 0.. -- Purchase events
         orders: int 0.. -- Distinct orders
         converted_sessions: int 0.. -- Sessions with a purchase
         conversion_rate: number? -- converted_sessions / sessions
         revenue: money -- Sum of order values, with all its digits
         aov: money? -- revenue / orders",
    ),
    (
        "KpiPerformance",
        "Milliseconds; null where nothing was measured, and in answers from SQL.",
        "latency_ms_p50: number? -- The median
         latency_ms_p95: number? -- 95 %
         latency_ms_p99: number? -- 99 %
         processing_time: number? -- The mean",
    ),
    ("LatestKpi", "The last complete minute.", "...Kpi\n...Standing"),
    (
        "KpiHistory",
        "Complete minutes.",
        "minutes_back: int -- How many minutes
         count: int 0.. -- The same
         kpis: [Kpi] -- Newest first
         ...Standing",
    ),
    (
        "KpiDay",
        "The complete minutes of a day of the shop.",
        "date: date -- The day
         time_zone: text -- The shop's time zone
         start: time -- When the day begins
         end: time -- When it ends: 23, 24 or 25 hours later
         count: int 0.. -- How many minutes of it are complete
         kpis: [Kpi] -- Oldest first
         ...Standing",
    ),
    (
        "Funnel",
        "Sessions that viewed, added, started checkout and purchased, in this order.",
        "window_minutes: int -- How many minutes back
         conversion_rate: number? -- Of the first step, those that did the last
         steps: [FunnelStep] -- The steps
         ...Standing",
    ),
    (
        "FunnelStep",
        "One step.",
        "step: int 1.. -- From 1
         name: text -- Its event
         count: int 0.. -- Sessions that got here
         step_rate: number? -- Of those at the step before
         step_from: int? -- How many were there
         overall_rate: number? -- Of those at the first step
         overall_from: int 0.. -- How many were there
         drop_off: int 0.. -- Sessions at the step before that did not get here
         drop_off_rate: number? -- Their share",
    ),
    (
        "Totals",
        "Sums.",
        "events: int 0.. -- Events
         page_views: int 0.. -- Page views
         product_views: int 0.. -- Product views
         cart_actions: int 0.. -- Adding, removing and looking
         add_to_carts: int 0.. -- Additions
         checkouts: int 0.. -- Checkouts started
         purchases: int 0.. -- Purchases
         orders: int 0.. -- Orders
         revenue: money -- Order values
         aov: money? -- revenue / orders",
    ),
    (
        "MetricsPoint",
        "A minute.",
        "minute: time -- Its begin
         sessions: int 0.. -- Distinct sessions
         unique_users: int 0.. -- Distinct users
         exact: bool -- Whether these are exact
         ...Totals",
    ),
    (
        "AnalyticsMetrics",
        "Totals, and a series by minute.",
        "window_minutes: int -- One-minute buckets, the current one included
         eventsPerSecond: number -- The mean of the buckets
         pageViews: int 0.. -- Page views
         cartActions: int 0.. -- Cart actions
         purchases: int 0.. -- Purchases
         totals: Totals -- Sums over the buckets
         series: [MetricsPoint] -- Oldest first
         ...Standing",
    ),
    ("ViewsPoint", "A minute.", "minute: time -- Its begin\npage_views: int 0.. -- Page views"),
    (
        "AnalyticsPageViews",
        "Page views: total, series and pages.",
        "window_minutes: int -- One-minute buckets, the current one included
         total: int 0.. -- Page views in them
         top_pages: [PageViews] -- The most viewed pages
         exact: bool -- Whether every page was told apart
         series: [ViewsPoint] -- Oldest first
         ...Standing",
    ),
    (
        "CartActions",
        "What was done to carts.",
        "total: int 0.. -- All of it
         add_to_cart: int 0.. -- Adding
         remove_from_cart: int 0.. -- Removing
         view_cart: int 0.. -- Looking",
    ),
    ("CartPoint", "A minute.", "minute: time -- Its begin\n...CartActions"),
    (
        "AnalyticsCartActions",
        "Cart actions: totals and a series.",
        "window_minutes: int -- One-minute buckets, the current one included
         total: int 0.. -- All of them
         totals: CartActions -- By what was done
         series: [CartPoint] -- Oldest first
         ...Standing",
    ),
    (
        "Health",
        "The status, and each dependency's.",
        "status: one(ok,degraded,stopping,failed) -- `ok` and `degraded` take traffic
         version: text -- The build
         dependencies: object -- Each with its status and, where it is not `ok`, a message
         engine: EngineStatus -- Sizes and positions",
    ),
    (
        "EngineStatus",
        "How the engine is.",
        "node: text -- The data folder's id
         seq: int 0.. -- The last position stored
         wal_bytes: int 0.. -- Size of the write-ahead log
         buffer_rows: int 0.. -- Events not yet in the lake
         buffer_bytes: int 0.. -- Their memory
         lake_version: int -- The table's version
         lake_seq: int 0.. -- The last position in it
         lake_files: int 0.. -- Live Parquet files
         lake_rows: int 0.. -- Their rows
         lake_bytes: int 0.. -- Their size
         dedup_bytes: int 0.. -- Memory of event ids
         dead_letters: LetterStatus -- Events that were not accepted
         queries: int 0.. -- Queries running now
         clock_step_ms: int -- How far the system's clock was moved since the start",
    ),
    (
        "LetterStatus",
        "The store of dead letters.",
        "open: int 0.. -- Waiting to be fixed or dropped
         replayed: int 0.. -- Stored now, and still listed
         dropped: int 0.. -- Dropped, and still listed
         expired: int 0.. -- Removed by the retention since the start
         bytes: int 0.. -- Size on disk
         fullness: number -- From 0 to 1",
    ),
    ("Status", "One word.", "status: text -- `live`, `ready`, or why it is not"),
    ("Version", "Name and version.", "name: text -- tideline\nversion: text -- The build"),
    ("Login", "A key to exchange.", "key: text -- The key"),
    (
        "Alert",
        "Something that is or was wrong.",
        "id: text -- Made of rule, key and the moment it opened
         rule: text -- The metric whose header is the rule
         key: text? -- The row it is about, where the rule judges several
         severity: text -- How bad it is
         message: text -- For people, as it was when it opened
         value: number -- What it opened with
         threshold: number -- What that was compared with
         opened_at: time -- When it opened
         closed_at?: time -- When it closed
         closed_because?: text -- Why",
    ),
    (
        "AlertRule",
        "How a rule is.",
        "rule: text -- Its name
         summary: text -- What it is about
         judged_at: time? -- When it was judged last
         open: int 0.. -- Alerts of it that are open
         error?: text -- Why the last judgement failed",
    ),
    (
        "AlertList",
        "Alerts and their rules.",
        "alerts: [Alert] -- The open ones first, then the latest
         total: int 0.. -- How many there are of these
         counts: object -- Alerts by state, and notices
         rules: [AlertRule] -- Every rule
         notices_given_up: [object] -- What a receiver did not take, however often it was sent",
    ),
    (
        "PageConfig",
        "What the page must know.",
        "version: text -- The server's
         keys_required: bool -- Whether one must sign in
         single_sign_on: bool -- Whether one can with an OpenID provider, at `/session/oidc`
         shop: object -- Its name, time zone and currency
         live_every_ms: int 0.. -- Time between two ticks
         hot_window_minutes: int 0.. -- How far back live windows reach
         json_rows: int 0.. -- Most rows in JSON",
    ),
    (
        "Session",
        "Who is asking.",
        "by: one(local,key,session) -- `local` while the server has no keys
         key_id: text? -- The key's id; none of somebody who signed in with an OpenID provider
         name: text? -- Its name, or theirs
         scopes: [Scope] -- What it may do
         expires_at: time? -- For how long",
    ),
    ("KeyList", "Every key.", "keys: [Key] -- They, without their secrets"),
    (
        "Key",
        "A key.",
        "id: text -- Names it
         name: text -- What people call it
         state: text -- active, revoked or expired
         scopes: [Scope] -- What it may do
         created_at: time -- When it was made
         expires_at?: time -- From when on it is no longer good
         revoked_at?: time -- When it was revoked
         limits: KeyLimits -- Its own limits
         key?: text -- The key itself: only in the answer that made it",
    ),
    (
        "KeyLimits",
        "Limits of one key in a window, instead of the settings'; 0 is none.",
        "requests?: int? -- Requests\nevents?: int? -- Events",
    ),
    (
        "NewKey",
        "A key to be made.",
        "name: text -- What people call it
         scopes: [Scope] -- What it may do
         expires_in?: text? -- How long it is good, like 90d; for ever without it
         limits?: KeyLimits -- Its own limits",
    ),
    (
        "QueryList",
        "Queries, of all clients.",
        "slow_after_ms: int 0.. -- From when on a query is slow
         running: [ListedQuery] -- What runs, the oldest first
         slow: [ListedQuery] -- What was slow, the latest first",
    ),
    (
        "ListedQuery",
        "A query that runs or ran.",
        "id: text -- By which it can be cancelled
         kind: one(sql,metric,own) -- Whose it is: a client's, a fixed metric's, the server's own
         text: text -- Its SQL, or the metric's name
         started_at: time -- When it was let in
         elapsed_ms: number -- From then on; to its end where it has ended
         rows_read: int 0.. -- Rows decoded from files and taken from the buffer
         bytes_read: int 0.. -- Bytes read from files
         outcome?: text -- How it ended",
    ),
    (
        "FlushReport",
        "What a flush did.",
        "rows: int 0.. -- Rows moved to the lake
         lake_version: int -- The table's version afterwards
         lake_seq: int 0.. -- The last position in it",
    ),
    (
        "CompactReport",
        "What a compaction did.",
        "files_before: int 0.. -- Live files before\nfiles_after: int 0.. -- And after\nlake_version: int -- The version",
    ),
    (
        "RetainReport",
        "What the retention removed.",
        "files_removed: int 0.. -- Files of days\ndead_letters_expired: int 0.. -- Dead letters",
    ),
    (
        "VacuumReport",
        "What was deleted.",
        "files_deleted: int 0.. -- Files\nbytes_deleted: int 0.. -- Their size",
    ),
    (
        "EraseRequest",
        "Whom to erase: at least one id.",
        "user_id?: text? -- The shop's id of them
         anonymous_ids?: [text] -- Ids they had as an unknown visitor
         rows?: bool -- Whether their rows go as a whole; else they stay, without what says whose they are",
    ),
    (
        "EraseReport",
        "What an erasure did.",
        "erased_at_ms: int -- When
         mode: one(identifiers,rows) -- Whether their rows stayed
         log_segments_deleted: int 0.. -- Segments of the write-ahead log
         lake: ErasedRows -- The table's files
         purged: ErasedFiles -- What the table no longer names
         window_rows: int 0.. -- Rows counted again in the live windows
         redis?: text -- What became of the windows in Redis
         dead_letters: int 0.. -- Dead letters removed
         linked_anonymous_ids: [text] -- Other ids of their rows, which are not erased unless asked for
         files_searched: int 0.. -- Files searched at the end
         bytes_searched: int 0.. -- Their bytes
         found: [FoundIn] -- Where they were found all the same
         complete: bool -- Nothing was found
         beyond_reach: [text] -- Where nobody looked",
    ),
    (
        "ErasedRows",
        "What an erasure did to the table.",
        "files_searched: int 0.. -- Files read
         files_rewritten: int 0.. -- Files written anew
         rows_emptied: int 0.. -- Rows of the person that stay
         rows_removed: int 0.. -- Rows of the person that went
         rows_mentioning: int 0.. -- Rows of others that named the person",
    ),
    (
        "ErasedFiles",
        "What an erasure deleted.",
        "files_deleted: int 0.. -- Data files
log_entries_deleted: int 0.. -- Entries of the Delta log",
    ),
    ("FoundIn", "A file that still names the person.", "file: text -- Within the data folder
what: text -- What of it"),
    (
        "LetterPage",
        "A page of dead letters.",
        "letters: [Letter] -- They
         next: text? -- Ask for the next page with `after=` this
         total?: int 0.. -- On the first page: how many there are
         counts?: counts -- On the first page: by code",
    ),
    (
        "Letter",
        "An event that was not accepted.",
        "id: text -- Names it
         status: one(open,replayed,dropped) -- What became of it
         received_at: time -- When it came
         source: text -- How it came
         key: text? -- The id of the API key it came with
         index: int 0.. -- Which event of its request
         field: text -- The field that is wrong
         code: text -- Stable, for programs
         message: text -- For people
         original: text? -- As it was sent; null when it is not UTF-8
         original_base64?: text -- Then it is here
         attempts: int 0.. -- How often it was replayed in vain
         replayed_at?: time -- When
         dropped_at?: time -- When",
    ),
    (
        "LetterFilter",
        "Which letters: those for which all that is given holds.",
        "code?: text? -- With this code
         source?: text? -- Through this source
         key?: text? -- With this API key's id; empty for none
         field?: text? -- With this field
         since?: text? -- Received at or after this time
         until?: text? -- Received before this time",
    ),
    (
        "ReplayRequest",
        "What to replay and how; all of it is optional.",
        "ids?: [text] -- These letters
         filter?: LetterFilter -- Of them, or of all: those
         mapping?: text? -- The text of a mapping file, which makes each event anew
         mapping_name?: text? -- What the mapping is called in messages
         fixes?: object -- Fields to set in each event; null takes one out
         dry_run?: bool -- Say what would happen, and change nothing",
    ),
    (
        "ReplayReport",
        "What a replay did, or would do.",
        "dry_run: bool -- Whether it only looked
         selected: int 0.. -- Open letters that were selected
         replayed: int 0.. -- Letters whose event is accepted
         duplicates: int 0.. -- Of these, events that were stored before
         rejected: int 0.. -- Letters that were refused again
         skipped: int 0.. -- Letters that the fix leaves out
         errors: [ReplayError] -- The first of the reasons
         errors_total: int 0.. -- How many there are",
    ),
    (
        "ReplayError",
        "Why a letter was not replayed.",
        "id: text -- The letter\nfield: text -- The field that is wrong\ncode: text -- For programs\nmessage: text -- For people",
    ),
    ("DropReport", "What was dropped.", "dropped: int 0.. -- Letters"),
];
