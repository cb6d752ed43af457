//! A JSON body: whatever it holds, every event is accepted or rejected with a reason, and decoding again says the same.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tideline_engine::decode::{DecodeContext, Deriver, InputFormat, decode};

static DERIVER: LazyLock<Arc<Deriver>> = LazyLock::new(|| Arc::new(Deriver::default()));

fuzz_target!(|body: &[u8]| {
    let mut ctx = DecodeContext::new(1_780_000_000_000_000, Arc::clone(&DERIVER));
    ctx.max_events = 10_000;
    let body = Bytes::copy_from_slice(body);
    let Ok(decoded) = decode(&body, InputFormat::Json, &ctx) else { return };
    assert_eq!(decoded.batch.num_rows(), decoded.rows.len());
    assert_eq!(decoded.total, decoded.rows.len() + decoded.rejected.len());
    assert!(decoded.rejected.iter().all(|r| !r.code.is_empty() && !r.message.is_empty()));
    let again = decode(&body, InputFormat::Json, &ctx).expect("it was decoded before");
    assert_eq!((again.batch, again.rejected), (decoded.batch, decoded.rejected));
});
