//! SQL from strangers: an answer or an error that says what is wrong, never one of ours, and the process stays up.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::StreamExt;
use libfuzzer_sys::fuzz_target;
use object_store::memory::InMemory;
use tideline_engine::clock::SystemClock;
use tideline_engine::error::Kind;
use tideline_engine::query::{QueryConfig, QueryEngine, QueryRequest, TableState};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

static ENGINE: LazyLock<QueryEngine> = LazyLock::new(|| {
    // An operator's panic costs its query only and is answered as an internal error, which is what is looked for below;
    // libfuzzer's hook would end the process before that.
    let _ = std::panic::take_hook();
    let config = QueryConfig { threads: 1, memory_bytes: 64 << 20, ..QueryConfig::default() };
    let state = Arc::new(TableState::default());
    let source = Arc::new(move || Ok(Arc::clone(&state)));
    QueryEngine::new(config, Arc::new(InMemory::new()), source, Arc::new(SystemClock::new())).expect("threads")
});

fuzz_target!(|text: &str| {
    let mut request = QueryRequest::new(text);
    request.timeout = Some(Duration::from_secs(5));
    request.limit = Some(100);
    let outcome = RUNTIME.block_on(async {
        let mut output = ENGINE.query(request).await?;
        while let Some(batch) = output.stream.next().await {
            batch?;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        let error: tideline_engine::error::Error = error;
        assert!(!matches!(error.kind, Kind::Internal | Kind::Fatal | Kind::Corrupt), "{text:?}: {error}");
    }
});
