//! Answers kept in memory, a bounded number of bytes, the least recently used leave first; and one computation for all
//! who ask the same at the same time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::query::copy_error;

/// What an entry takes besides its answer.
const ENTRY_BYTES: usize = 1 << 10;

type Outcome<V> = Result<Arc<V>, Arc<Error>>;
type Flight<V> = BoxFuture<'static, Outcome<V>>;

/// How the cache is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Answers kept.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Requests answered from it.
    pub hits: u64,
    /// Answers computed.
    pub computed: u64,
}

/// Keeps one answer for each request: that of the newest tag, which stands for the state of the data.
pub(super) struct ResultCache<V> {
    max_bytes: usize,
    state: Mutex<State<V>>,
}

impl<V> std::fmt::Debug for ResultCache<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultCache").field("stats", &self.state.lock().stats).finish_non_exhaustive()
    }
}

struct State<V> {
    kept: HashMap<String, Kept<V>>,
    /// Requests by their last use.
    order: BTreeMap<u64, String>,
    uses: u64,
    stats: CacheStats,
    flying: HashMap<(String, String), WeakShared<Flight<V>>>,
}

struct Kept<V> {
    tag: String,
    value: Arc<V>,
    bytes: usize,
    used: u64,
}

impl<V> State<V> {
    fn hit(&mut self, request: &str, tag: &str) -> Option<Arc<V>> {
        let kept = self.kept.get_mut(request).filter(|k| k.tag == tag)?;
        self.uses += 1;
        if let Some(name) = self.order.remove(&kept.used) {
            self.order.insert(self.uses, name);
        }
        kept.used = self.uses;
        self.stats.hits += 1;
        Some(Arc::clone(&kept.value))
    }

    fn remove(&mut self, request: &str) {
        if let Some(old) = self.kept.remove(request) {
            self.order.remove(&old.used);
            self.stats.bytes -= old.bytes;
        }
    }

    fn keep(&mut self, request: String, tag: String, value: Arc<V>, bytes: usize, max_bytes: usize) {
        self.remove(&request);
        let bytes = bytes + ENTRY_BYTES + 2 * request.len();
        if bytes > max_bytes {
            return;
        }
        while self.stats.bytes + bytes > max_bytes
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.remove(&oldest);
        }
        self.uses += 1;
        self.stats.bytes += bytes;
        self.order.insert(self.uses, request.clone());
        self.kept.insert(request, Kept { tag, value, bytes, used: self.uses });
    }
}

impl<V: Send + Sync + 'static> ResultCache<V> {
    pub(super) fn new(max_bytes: usize) -> Arc<Self> {
        let state = State {
            kept: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
            stats: CacheStats::default(),
            flying: HashMap::new(),
        };
        Arc::new(Self { max_bytes, state: Mutex::new(state) })
    }

    pub(super) fn stats(&self) -> CacheStats {
        let state = self.state.lock();
        CacheStats { entries: state.kept.len(), ..state.stats }
    }

    /// Forgets every answer.
    pub(super) fn forget(&self) {
        let mut state = self.state.lock();
        state.kept.clear();
        state.order.clear();
        state.stats.bytes = 0;
    }

    /// The answer to `request` at `tag`: kept, being computed by somebody else, or computed now by `make`, which also
    /// says how many bytes it takes. Errors are given to all who wait, and not kept.
    pub(super) async fn get(
        self: &Arc<Self>,
        request: &str,
        tag: &str,
        make: impl Future<Output = Result<(V, usize)>> + Send + 'static,
    ) -> Result<Arc<V>> {
        let flight = {
            let mut state = self.state.lock();
            if let Some(hit) = state.hit(request, tag) {
                return Ok(hit);
            }
            let key = (request.to_owned(), tag.to_owned());
            match state.flying.get(&key).and_then(WeakShared::upgrade) {
                Some(flight) => flight,
                None => {
                    state.stats.computed += 1;
                    let flight = Arc::clone(self).fly(key.clone(), make);
                    // Those everybody has left.
                    state.flying.retain(|_, flight| flight.upgrade().is_some());
                    if let Some(weak) = flight.downgrade() {
                        state.flying.insert(key, weak);
                    }
                    flight
                }
            }
        };
        flight.await.map_err(|error| copy_error(&error))
    }

    fn fly(
        self: Arc<Self>,
        key: (String, String),
        make: impl Future<Output = Result<(V, usize)>> + Send + 'static,
    ) -> Shared<Flight<V>> {
        let work = async move {
            let made = make.await;
            let mut state = self.state.lock();
            state.flying.remove(&key);
            let (value, bytes) = made.map_err(Arc::new)?;
            let value = Arc::new(value);
            let (request, tag) = key;
            state.keep(request, tag, Arc::clone(&value), bytes, self.max_bytes);
            Ok(value)
        };
        work.boxed().shared()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn get(cache: &Arc<ResultCache<u32>>, request: &str, tag: &str, value: u32, bytes: usize) -> u32 {
        *cache.get(request, tag, async move { Ok((value, bytes)) }).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_tag_only() {
        let cache = ResultCache::new(1 << 20);
        assert_eq!(get(&cache, "a", "1", 1, 10).await, 1);
        assert_eq!(get(&cache, "a", "1", 2, 10).await, 1, "kept");
        assert_eq!(get(&cache, "a", "2", 3, 10).await, 3, "another state of the data");
        assert_eq!(cache.stats().entries, 1, "the older one is gone");
        assert_eq!((cache.stats().hits, cache.stats().computed), (1, 2));
    }

    #[tokio::test]
    async fn it_never_holds_more_than_it_may() {
        let cache = ResultCache::new(10 << 10);
        for n in 0..100u32 {
            get(&cache, &format!("r{n}"), "t", n, 1 << 10).await;
            // The first is asked for again and again: it stays.
            assert_eq!(get(&cache, "r0", "t", 1_000, 1 << 10).await, 0);
            assert!(cache.stats().bytes <= 10 << 10, "{:?}", cache.stats());
        }
        assert_eq!(get(&cache, "r1", "t", 7, 1).await, 7, "it had to leave");
        get(&cache, "large", "t", 1, 11 << 10).await;
        assert_eq!(get(&cache, "large", "t", 2, 1).await, 2, "too large to be kept");
        let order = cache.state.lock();
        assert_eq!(order.order.len(), order.kept.len());
    }

    #[tokio::test]
    async fn one_computes_and_all_get_it() {
        let cache = ResultCache::<u32>::new(1 << 20);
        let made = Arc::new(AtomicUsize::new(0));
        let (open, gate) = tokio::sync::watch::channel(false);
        let ask = || {
            let (made, mut gate) = (Arc::clone(&made), gate.clone());
            let cache = Arc::clone(&cache);
            async move {
                let work = async move {
                    made.fetch_add(1, Ordering::SeqCst);
                    let _ = gate.wait_for(|open| *open).await;
                    Ok((7, 1))
                };
                cache.get("a", "1", work).await.map(|v| *v)
            }
        };
        let mut first = Box::pin(ask());
        assert!(futures::poll!(&mut first).is_pending());
        let mut others: Vec<_> = (0..5).map(|_| Box::pin(ask())).collect();
        for other in &mut others {
            assert!(futures::poll!(other).is_pending());
        }
        // Whoever began it leaves; the others still get it.
        drop(first);
        open.send(true).unwrap();
        for other in others {
            assert_eq!(other.await.unwrap(), 7);
        }
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn what_everybody_left_begins_anew_and_errors_are_not_kept() {
        let cache = ResultCache::<u32>::new(1 << 20);
        let mut left = Box::pin(cache.get("a", "1", std::future::pending()));
        assert!(futures::poll!(&mut left).is_pending());
        drop(left);
        let error = cache.get("a", "1", async { Err(Error::busy("x", "no")) }).await.unwrap_err();
        assert_eq!(error.code, "x");
        assert_eq!(get(&cache, "a", "1", 5, 1).await, 5);
        assert!(cache.state.lock().flying.is_empty());
    }
}
