//! An Arrow IPC stream as a body: whatever its offsets and lengths claim, an answer and no panic.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tideline_engine::decode::{DecodeContext, Deriver, InputFormat, decode};

static DERIVER: LazyLock<Arc<Deriver>> = LazyLock::new(|| Arc::new(Deriver::default()));

fuzz_target!(|body: &[u8]| {
    let mut ctx = DecodeContext::new(1_780_000_000_000_000, Arc::clone(&DERIVER));
    ctx.max_events = 10_000;
    ctx.max_decoded_bytes = 16 << 20;
    if let Ok(decoded) = decode(&Bytes::copy_from_slice(body), InputFormat::ArrowStream, &ctx) {
        assert_eq!(decoded.total, decoded.rows.len() + decoded.rejected.len());
    }
});
