//! A session: the simple and the extended protocol, one message after the other.
//!
//! Whatever a message starts stops when the client cancels it, goes away, or does not take its rows; and its rows are
//! never further ahead of the client than what is being sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;
use pgwire::api::Type;
use pgwire::messages::data::{NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use pgwire::messages::startup::ParameterStatus;
use tideline_engine::error::{Error, Result as EngineResult};
use tideline_engine::query::{QueryOutput, QueryRequest};
use tokio_util::sync::CancellationToken;

use super::encode::Rows;
use super::errors::Failure;
use super::frames::{Ended, Frames};
use super::frontend::{Bind, Frontend, Target};
use super::portal::{Portal, Prepared, Running, show_field};
use super::settings::Settings;
use super::startup::{Greeted, Stream, refused};
use super::utility::Utility;
use super::{Shared, catalogue, log_end, split, types, values};
use crate::auth::Caller;
use crate::rate_limit::Account;

/// Statements in one simple query.
const MAX_STATEMENTS: usize = 100;
/// Portals at once; one that was begun holds a query.
const MAX_PORTALS: usize = 16;

/// Why a message was not worked on to its end.
#[derive(Debug)]
pub enum Stopped {
    /// The client is told, and may go on, unless it is fatal.
    Failure(Failure),
    /// There is nobody to be told.
    Ended(Ended),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Ended> for Stopped {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failure(failure(&error))
    }
}

fn failure(error: &Error) -> Failure {
    if error.kind == tideline_engine::error::Kind::Internal {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(code = error.code, error = %error, cause, "a query of the Postgres wire failed");
    }
    Failure::from(error)
}

fn cancelled() -> Failure {
    Failure::error("57014", "the statement was cancelled by its client")
}

struct Session {
    frames: Frames<Stream>,
    shared: Arc<Shared>,
    caller: Caller,
    account: Account,
    settings: Settings,
    registered: super::cancel::Registered,
    /// Of the message that is worked on.
    cancel: CancellationToken,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    status: TransactionStatus,
    /// After an error of the extended protocol nothing is read until the group's end.
    is_skipping: bool,
}

/// Works on a client's messages until it leaves.
pub async fn run(greeted: Greeted, shared: Arc<Shared>) {
    let Greeted { frames, caller, account, settings, registered, place } = greeted;
    let process = registered.process;
    tracing::debug!(process, key = caller.key_id(), "a client of the Postgres wire was let in");
    let mut session = Session {
        frames,
        shared,
        caller,
        account,
        settings,
        registered,
        cancel: CancellationToken::new(),
        statements: HashMap::new(),
        portals: HashMap::new(),
        status: TransactionStatus::Idle,
        is_skipping: false,
    };
    let ended = session.messages().await;
    match ended {
        Ok(last) => {
            if let Some(failure) = last {
                session.frames.put(&failure.message());
                // Who does not take it does not get it.
                let _ = session.frames.send().await;
            }
            session.frames.close().await;
        }
        Err(ended) => log_end(process, &ended),
    }
    drop(place);
}

impl Session {
    /// Until the client leaves, or something ends the session: then it is told why.
    async fn messages(&mut self) -> Result<Option<Failure>, Ended> {
        let limits = self.shared.settings();
        let (most, idle) = (limits.max_message_bytes.as_usize(), limits.idle_timeout.0);
        let stop = self.shared.stop.clone();
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(Failure::fatal("57P01", "the server is stopping"))),
                next = self.frames.next(most, idle) => next,
            };
            let (kind, body) = match next {
                Ok(message) => message,
                Err(Ended::Idle) => {
                    return Ok(Some(Failure::fatal("57P05", "the connection was idle for too long")));
                }
                Err(Ended::TooLarge(bytes)) => {
                    let failure = Failure::fatal("54000", format!("a message of {bytes} bytes is larger than {most}"));
                    return Ok(Some(failure.with_hint("send less at once, or raise postgres.max_message_bytes")));
                }
                Err(Ended::Garbled(what)) => return Ok(Some(Failure::fatal("08P01", what))),
                Err(other) => return Err(other),
            };
            let message = match Frontend::read(kind, body) {
                Ok(message) => message,
                Err(garbled) => return Ok(Some(Failure::fatal("08P01", garbled.0))),
            };
            if message == Frontend::Terminate {
                return Ok(None);
            }
            if self.is_skipping && !matches!(message, Frontend::Sync) {
                continue;
            }
            let is_simple = matches!(message, Frontend::Query(_));
            self.cancel = self.registered.begin();
            let worked = self.work(message).await;
            self.registered.end();
            match worked {
                Ok(()) => {}
                Err(Stopped::Ended(ended)) => return Err(ended),
                Err(Stopped::Failure(failure)) if failure.is_fatal => return Ok(Some(failure)),
                Err(Stopped::Failure(failure)) => {
                    self.fail(&failure);
                    self.is_skipping = !is_simple;
                    if is_simple {
                        self.ready();
                    }
                    self.frames.send().await?;
                }
            }
        }
    }

    fn fail(&mut self, failure: &Failure) {
        tracing::debug!(process = self.registered.process, state = failure.state, "a statement failed");
        self.frames.put(&failure.message());
        if self.status == TransactionStatus::Transaction {
            self.status = TransactionStatus::Error;
            self.portals.clear();
        }
    }

    fn ready(&mut self) {
        // Outside of a transaction portals end with their group.
        if self.status == TransactionStatus::Idle {
            self.portals.clear();
        }
        self.frames.put(&ReadyForQuery::new(self.status));
    }

    async fn work(&mut self, message: Frontend) -> Result<(), Stopped> {
        match message {
            Frontend::Query(text) => self.simple(&text).await,
            Frontend::Parse { name, sql, types } => self.parse(name, &sql, &types).await,
            Frontend::Bind(bind) => self.bind(bind),
            Frontend::Describe(target) => self.describe(&target),
            Frontend::Execute { portal, max_rows } => self.execute(&portal, max_rows).await,
            Frontend::Close(target) => {
                match target {
                    Target::Statement(name) => drop(self.statements.remove(&name)),
                    Target::Portal(name) => drop(self.portals.remove(&name)),
                }
                self.frames.put(&CloseComplete::new());
                Ok(())
            }
            Frontend::Sync => {
                self.is_skipping = false;
                self.ready();
                Ok(self.frames.send().await?)
            }
            Frontend::Flush => Ok(self.frames.send().await?),
            // What a client sends after a COPY it was refused.
            Frontend::Copy | Frontend::Terminate => Ok(()),
            Frontend::FunctionCall => {
                Err(Failure::fatal("0A000", "functions are not called by their numbers here").into())
            }
            Frontend::Password(_) => {
                Err(Failure::fatal("08P01", "a password was sent where none was asked for").into())
            }
        }
    }

    /// Before each statement: whether this client may still ask, and whether it asked too often.
    async fn admit(&mut self, text: &str) -> Result<(), Stopped> {
        if !self.shared.state.auth.is_current(&self.caller) {
            let failure = Failure::fatal("28000", "the key of this connection is no longer good");
            return Err(failure.with_hint("connect again with another").into());
        }
        if let Err(problem) = self.shared.state.limits.request(&self.account).await {
            return Err(refused(&problem).ending(false).into());
        }
        if catalogue::may_see_metrics(text) {
            let engine = Arc::clone(&self.shared.state.engine);
            let metrics = self.stoppable(async move { engine.metrics().catalogue().await }).await?;
            self.shared.metrics.replace(metrics);
        }
        Ok(())
    }

    fn within_failure(&self, utility: Option<&Utility>) -> Result<(), Failure> {
        let is_let = utility.is_some_and(Utility::ends_failure);
        if self.status == TransactionStatus::Error && !is_let {
            let message = "the transaction has failed, so nothing is done until its end";
            return Err(Failure::error("25P02", message).with_hint("send ROLLBACK"));
        }
        Ok(())
    }

    /// How long a statement may take.
    fn timeout(&self) -> std::time::Duration {
        let most = self.shared.state.config.query.timeout.0;
        self.settings.timeout().map_or(most, |timeout| timeout.min(most))
    }

    /// Work that stops when the client says so, or has gone.
    async fn stoppable<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        let most = self.shared.settings().max_message_bytes.as_usize();
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(cancelled().into()),
            done = work => Ok(done),
            ended = self.frames.gone(most) => Err(ended.into()),
        }
    }

    /// Sends what has gathered; a client that does not read can still cancel.
    async fn send(&mut self) -> Result<(), Stopped> {
        let cancel = self.cancel.clone();
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(cancelled().into()),
            sent = self.frames.send() => Ok(sent?),
        }
    }

    async fn simple(&mut self, text: &str) -> Result<(), Stopped> {
        let statements = split::statements(text);
        if statements.is_empty() {
            self.frames.put(&EmptyQueryResponse::new());
        }
        if statements.len() > MAX_STATEMENTS {
            let message = format!("one query holds at most {MAX_STATEMENTS} statements");
            return Err(Failure::error("54000", message).into());
        }
        for (at, statement) in statements {
            self.admit(statement).await?;
            if let Some(utility) = Utility::of(statement) {
                self.within_failure(Some(&utility))?;
                if let Some(name) = utility.shows() {
                    self.frames
                        .put(&RowDescription::new(show_field(name).iter().map(|f| types::describe(f, 0)).collect()));
                }
                self.utility(&utility)?;
                continue;
            }
            self.within_failure(None)?;
            let begun = Instant::now();
            let timeout = Some(self.timeout());
            let request = QueryRequest { timeout, ..QueryRequest::new(statement) };
            let (queries, surface) = (Arc::clone(self.shared.state.engine.queries()), Arc::clone(&self.shared.surface));
            let output = self.stoppable(async move { queries.query_through(&surface, request).await }).await?;
            let output = output.map_err(|e| placed(&e, text, statement, at))?;
            let fields = output.schema.fields().iter().map(|field| types::describe(field, 0)).collect();
            self.frames.put(&RowDescription::new(fields));
            let mut running = Running::new(output, Vec::new());
            let (rows, _) = self.rows(&mut running, usize::MAX).await?;
            self.complete(rows, begun);
        }
        self.ready();
        Ok(self.frames.send().await?)
    }

    fn complete(&mut self, rows: usize, begun: Instant) {
        self.frames.put(&CommandComplete::new(format!("SELECT {rows}")));
        let elapsed_ms = begun.elapsed().as_secs_f64() * 1e3;
        let (process, key) = (self.registered.process, self.caller.key_id());
        tracing::debug!(process, key, rows, elapsed_ms, "statement");
    }

    /// Puts rows until there are no more, or `most`; how many, and whether that was all.
    async fn rows(&mut self, running: &mut Running, most: usize) -> Result<(usize, bool), Stopped> {
        let mut put = 0;
        loop {
            if let Some(rows) = &mut running.rows {
                while rows.left() > 0 {
                    if put == most {
                        return Ok((put, false));
                    }
                    rows.write(self.frames.out());
                    put += 1;
                    if self.frames.is_full() {
                        self.send().await?;
                    }
                }
            }
            running.rows = None;
            let batch = self.stoppable(running.output.stream.next()).await?;
            match batch {
                None => return Ok((put, true)),
                Some(batch) => running.rows = Some(Rows::new(&batch?, &running.formats)?),
            }
        }
    }

    fn utility(&mut self, utility: &Utility) -> Result<(), Failure> {
        let mut tag = utility.tag();
        match utility {
            Utility::Begin => self.status = TransactionStatus::Transaction,
            Utility::Commit | Utility::Rollback => {
                if self.status == TransactionStatus::Error {
                    tag = "ROLLBACK";
                }
                self.status = TransactionStatus::Idle;
                self.portals.clear();
            }
            Utility::RollbackTo => self.status = TransactionStatus::Transaction,
            Utility::Set { name, value } => {
                if let Some((name, value)) = self.settings.set(name, value)? {
                    self.frames.put(&ParameterStatus::new(name.to_owned(), value));
                }
            }
            Utility::Reset(Some(name)) => drop(self.settings.set(name, "default")?),
            Utility::Reset(None) => self.settings.reset(),
            Utility::Discard => {
                self.settings.reset();
                self.statements.clear();
                self.portals.clear();
            }
            Utility::Close(name) => close(&mut self.portals, name.as_deref()),
            Utility::Deallocate(name) => close(&mut self.statements, name.as_deref()),
            Utility::Show(name) => {
                let value = self.settings.show(name)?;
                text_row(&mut self.frames, &[&value]);
            }
            Utility::ShowAll => {
                let all: Vec<_> = self.settings.all().collect();
                for (name, value) in &all {
                    text_row(&mut self.frames, &[name, value]);
                }
            }
            Utility::Savepoint(_) | Utility::SetNothing | Utility::Unlisten => {}
        }
        self.frames.put(&CommandComplete::new(tag.to_owned()));
        Ok(())
    }

    async fn parse(&mut self, name: String, sql: &str, declared: &[u32]) -> Result<(), Stopped> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            return Err(Failure::error("42P05", "there is a prepared statement of this name already").into());
        }
        if self.statements.len() >= self.shared.settings().max_statements && !self.statements.contains_key(&name) {
            let failure = Failure::error("53400", "this connection has too many prepared statements");
            return Err(failure.with_hint("close some, or raise postgres.max_statements").into());
        }
        let found = split::statements(sql);
        let prepared = match found.as_slice() {
            [] => Prepared::Empty,
            [(at, statement)] => {
                self.admit(statement).await?;
                match Utility::of(statement) {
                    Some(utility) => Prepared::Utility(utility),
                    None => {
                        self.within_failure(None)?;
                        self.understand(sql, *at, statement, declared).await?
                    }
                }
            }
            _ => {
                let message = "a prepared statement is one statement";
                return Err(Failure::error("42601", message).with_hint("prepare each by itself").into());
            }
        };
        self.statements.insert(name, Arc::new(prepared));
        self.frames.put(&ParseComplete::new());
        Ok(())
    }

    async fn understand(
        &mut self,
        sql: &str,
        at: usize,
        statement: &str,
        declared: &[u32],
    ) -> Result<Prepared, Stopped> {
        let said: Vec<Option<Type>> =
            declared.iter().map(|oid| Type::from_oid(*oid).filter(|kind| *kind != Type::UNKNOWN)).collect();
        let bound = said.iter().map(|kind| kind.as_ref().and_then(types::bound_as)).collect();
        let (queries, surface) = (Arc::clone(self.shared.state.engine.queries()), Arc::clone(&self.shared.surface));
        let (text, timeout) = (statement.to_owned(), Some(self.timeout()));
        let work = async move { queries.understand(&surface, &text, bound, timeout).await };
        let understood = self.stoppable(work).await?;
        let understood = understood.map_err(|e| placed(&e, sql, statement, at))?;
        let found = understood.params.iter().enumerate().map(|(at, field)| {
            let said = said.get(at).cloned().flatten();
            said.or_else(|| field.as_ref().map(|field| types::type_of(field))).unwrap_or(Type::TEXT)
        });
        let types = found.collect();
        Ok(Prepared::Query { understood: Arc::new(understood), types })
    }

    fn bind(&mut self, bind: Bind) -> Result<(), Stopped> {
        let prepared = self.statements.get(&bind.statement).cloned();
        let prepared =
            prepared.ok_or_else(|| Failure::error("26000", "there is no prepared statement of this name"))?;
        self.within_failure(prepared.utility())?;
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            return Err(Failure::error("42P03", "there is a portal of this name already").into());
        }
        if self.portals.len() >= MAX_PORTALS && !self.portals.contains_key(&bind.portal) {
            return Err(Failure::error("53400", format!("a connection has at most {MAX_PORTALS} portals")).into());
        }
        let types = prepared.types();
        if bind.values.len() != types.len() {
            let message = format!("the statement has {} parameters, and {} were bound", types.len(), bind.values.len());
            return Err(Failure::error("08P01", message).into());
        }
        let formats = each(&bind.value_formats, types.len())?;
        let values = bind.values.iter().zip(types).zip(&formats);
        let values = values.map(|((value, kind), binary)| values::read(value.as_ref(), *binary, kind));
        let values = values.collect::<EngineResult<Vec<_>>>()?;
        let formats = each(&bind.result_formats, prepared.columns())?;
        self.portals.insert(bind.portal, Portal::new(prepared, values, formats));
        self.frames.put(&BindComplete::new());
        Ok(())
    }

    fn describe(&mut self, target: &Target) -> Result<(), Stopped> {
        let (prepared, formats) = match target {
            Target::Statement(name) => {
                let prepared = self.statements.get(name).cloned();
                let prepared =
                    prepared.ok_or_else(|| Failure::error("26000", "there is no prepared statement of this name"))?;
                self.frames.put(&ParameterDescription::new(prepared.types().iter().map(Type::oid).collect()));
                (prepared, Vec::new())
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name);
                let portal = portal.ok_or_else(|| Failure::error("34000", "there is no portal of this name"))?;
                (Arc::clone(&portal.prepared), portal.formats.clone())
            }
        };
        let format = |at: usize| i16::from(formats.get(at).copied().unwrap_or_default());
        match prepared.fields() {
            None => self.frames.put(&NoData::new()),
            Some(fields) => {
                let fields = fields.iter().enumerate().map(|(at, field)| types::describe(field, format(at)));
                self.frames.put(&RowDescription::new(fields.collect()));
            }
        }
        Ok(())
    }

    async fn execute(&mut self, name: &str, max_rows: usize) -> Result<(), Stopped> {
        // Out of the map while it runs: what fails is not there any more.
        let mut portal =
            self.portals.remove(name).ok_or_else(|| Failure::error("34000", "there is no portal of this name"))?;
        self.within_failure(portal.prepared.utility())?;
        let begun = Instant::now();
        let prepared = Arc::clone(&portal.prepared);
        match prepared.as_ref() {
            Prepared::Empty => self.frames.put(&EmptyQueryResponse::new()),
            Prepared::Utility(utility) => {
                self.utility(utility)?;
                if matches!(utility, Utility::Commit | Utility::Rollback | Utility::Discard) {
                    return Ok(());
                }
            }
            Prepared::Query { understood, .. } => {
                if portal.is_done {
                    self.complete(0, begun);
                } else {
                    let mut running = match portal.running.take() {
                        Some(running) => running,
                        None => {
                            self.admit("").await?;
                            let output = self.start(Arc::clone(understood), &mut portal).await?;
                            Running::new(output, portal.formats.clone())
                        }
                    };
                    let most = if max_rows == 0 { usize::MAX } else { max_rows };
                    let (rows, is_all) = self.rows(&mut running, most).await?;
                    portal.is_done = is_all;
                    if is_all {
                        self.complete(rows, begun);
                    } else {
                        portal.running = Some(running);
                        self.frames.put(&PortalSuspended::new());
                    }
                }
            }
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    async fn start(
        &mut self,
        understood: Arc<tideline_engine::query::Understood>,
        portal: &mut Portal,
    ) -> Result<QueryOutput, Stopped> {
        let (queries, surface) = (Arc::clone(self.shared.state.engine.queries()), Arc::clone(&self.shared.surface));
        let (values, timeout) = (std::mem::take(&mut portal.values), Some(self.timeout()));
        let announced = Arc::clone(&understood);
        let work = async move { queries.run_through(&surface, &understood, values, timeout).await };
        let output = self.stoppable(work).await??;
        let kinds =
            |schema: &arrow::datatypes::Schema| schema.fields().iter().map(|f| types::type_of(f)).collect::<Vec<_>>();
        if kinds(&output.schema) != kinds(&announced.schema) {
            let message = "the columns are not those that were announced";
            return Err(Failure::error("0A000", message).with_hint("prepare the statement again").into());
        }
        Ok(output)
    }
}

/// Closes one of these, or all.
fn close<T>(named: &mut HashMap<String, T>, name: Option<&str>) {
    match name {
        Some(name) => drop(named.remove(name)),
        None => named.clear(),
    }
}

/// An error about one of a text's statements.
fn placed(error: &Error, text: &str, statement: &str, at: usize) -> Failure {
    let plain = failure(error);
    match error.position {
        Some(_) => Failure::of(error, text, statement, at),
        None => plain,
    }
}

/// Formats as the protocol has them: none is text, one is for all, else there is one for each.
fn each(formats: &[i16], count: usize) -> Result<Vec<bool>, Failure> {
    if formats.iter().any(|format| !(0..=1).contains(format)) {
        return Err(Failure::error("08P01", "a format is neither text nor binary"));
    }
    match formats {
        [] => Ok(vec![false; count]),
        [one] => Ok(vec![*one == 1; count]),
        each if each.len() == count => Ok(each.iter().map(|format| *format == 1).collect()),
        other => Err(Failure::error("08P01", format!("{} formats were sent for {count} values", other.len()))),
    }
}

/// A row of texts.
fn text_row(frames: &mut Frames<Stream>, texts: &[&str]) {
    use bytes::BufMut as _;
    let out = frames.out();
    let length = 6 + texts.iter().map(|text| 4 + text.len()).sum::<usize>();
    out.put_u8(b'D');
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u16(u16::try_from(texts.len()).unwrap_or(u16::MAX));
    for text in texts {
        out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        out.put_slice(text.as_bytes());
    }
}
