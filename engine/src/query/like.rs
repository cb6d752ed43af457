//! LIKE once for each distinct text, not once for each row.
//!
//! Parquet stores a column of few distinct texts as a dictionary, and decoding it to views makes every row a 16-byte
//! view into the same dictionary bytes: equal views over the same buffers are equal texts. So the outcome for a view is
//! remembered for as long as batches come over the same buffers, and a row costs a look into a small table instead of
//! a search through its text; or the buffers are searched as a whole, see [`pattern`].

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, ByteView, Scalar, StringViewArray, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::compute::kernels::comparison::{ilike, like, nilike, nlike};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{LikeExpr, Literal};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use parking_lot::Mutex;

mod pattern;

use pattern::{Finds, Pattern};

/// Arrays over more buffers than this are not dictionary pages,
const MAX_BUFFERS: usize = 4;
/// nor are buffers of more bytes than this; a memo takes one and a half times as much.
const MAX_BUFFER_BYTES: usize = 4 << 20;

/// Replaces LIKE with a constant pattern in filters.
#[derive(Debug)]
pub(super) struct LikeOncePerText;

impl PhysicalOptimizerRule for LikeOncePerText {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|node| {
            let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(node)) };
            let schema = filter.input().schema();
            let predicate = Arc::clone(filter.predicate()).transform_down(|e| Ok(replace(e, &schema)))?;
            if !predicate.transformed {
                return Ok(Transformed::no(node));
            }
            let replaced = FilterExecBuilder::from(filter).with_predicate(predicate.data).build()?;
            Ok(Transformed::yes(Arc::new(replaced) as _))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "LikeOncePerText"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn replace(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Transformed<Arc<dyn PhysicalExpr>> {
    let once = expr.downcast_ref::<LikeExpr>().and_then(|like| {
        let ScalarValue::Utf8View(Some(pattern)) = like.pattern().downcast_ref::<Literal>()?.value() else {
            return None;
        };
        let views = matches!(like.expr().data_type(schema), Ok(DataType::Utf8View));
        views.then(|| LikeOnce::new(Arc::clone(like.expr()), pattern, like.negated(), like.case_insensitive()))
    });
    match once {
        Some(once) => Transformed::yes(Arc::new(once)),
        None => Transformed::no(expr),
    }
}

/// `text [NOT] [I]LIKE 'pattern'`.
#[derive(Debug)]
struct LikeOnce {
    text: Arc<dyn PhysicalExpr>,
    like: String,
    negated: bool,
    case_insensitive: bool,
    /// The pattern taken apart; where that cannot be done Arrow compares.
    pattern: Option<Pattern>,
    /// What the threads of the query remember; one is taken out while it is used.
    memos: Mutex<Vec<Memo>>,
}

/// What is known of texts in certain buffers, which are held so that their addresses stay theirs.
#[derive(Debug)]
struct Memo {
    buffers: Vec<Buffer>,
    known: Known,
}

#[derive(Debug)]
enum Known {
    /// Where in each buffer the pattern matches.
    Found(Vec<Finds>),
    /// What was compared.
    Compared(Outcomes),
}

/// Outcomes of views.
#[derive(Debug)]
struct Outcomes {
    /// For each buffer, by where a text starts: texts of more than [`INLINE_BYTES`] start further apart than one slot.
    long: Vec<Vec<Long>>,
    /// Texts that are their own view, by a hash.
    short: Vec<Short>,
}

/// A text is in its view up to this many bytes.
const INLINE_BYTES: u32 = 12;
/// Bytes of a buffer that share a slot.
const SLOT_BYTES: usize = 8;
/// Short texts remembered; a power of two.
const SHORT_SLOTS: usize = 256;

#[derive(Debug, Clone, Copy, Default)]
struct Long {
    offset: u32,
    /// 0 while the slot is empty.
    length: u32,
    outcome: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Short {
    view: u128,
    outcome: Option<bool>,
}

impl Memo {
    fn over(buffers: &[Buffer], pattern: Option<&Pattern>) -> Self {
        let known = match pattern.and_then(|pattern| pattern.search(buffers)) {
            Some(finds) => Known::Found(finds),
            None => Known::Compared(Outcomes::over(buffers)),
        };
        Self { buffers: buffers.to_vec(), known }
    }

    fn is_over(&self, buffers: &[Buffer]) -> bool {
        self.buffers.len() == buffers.len()
            && self.buffers.iter().zip(buffers).all(|(a, b)| a.as_ptr() == b.as_ptr() && a.len() == b.len())
    }
}

impl Outcomes {
    fn over(buffers: &[Buffer]) -> Self {
        let long = buffers.iter().map(|b| vec![Long::default(); b.len() / SLOT_BYTES + 1]).collect();
        Self { long, short: vec![Short::default(); SHORT_SLOTS] }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a hash")]
    fn short(view: u128) -> usize {
        let mixed = ((view >> 64) as u64 ^ (view as u64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 48) as usize & (SHORT_SLOTS - 1)
    }

    fn get(&self, view: u128) -> Option<bool> {
        let parts = ByteView::from(view);
        if parts.length <= INLINE_BYTES {
            let slot = &self.short[Self::short(view)];
            return if slot.view == view { slot.outcome } else { None };
        }
        let slot = self.long.get(parts.buffer_index as usize)?.get(parts.offset as usize / SLOT_BYTES)?;
        (slot.offset == parts.offset && slot.length == parts.length).then_some(slot.outcome)
    }

    fn set(&mut self, view: u128, outcome: bool) {
        let parts = ByteView::from(view);
        if parts.length <= INLINE_BYTES {
            self.short[Self::short(view)] = Short { view, outcome: Some(outcome) };
            return;
        }
        let slots = self.long.get_mut(parts.buffer_index as usize);
        if let Some(slot) = slots.and_then(|s| s.get_mut(parts.offset as usize / SLOT_BYTES)) {
            *slot = Long { offset: parts.offset, length: parts.length, outcome };
        }
    }
}

impl LikeOnce {
    fn new(text: Arc<dyn PhysicalExpr>, pattern: &str, negated: bool, case_insensitive: bool) -> Self {
        let parsed = if case_insensitive { None } else { Pattern::parse(pattern) };
        let memos = Mutex::default();
        Self { text, like: pattern.to_owned(), negated, case_insensitive, pattern: parsed, memos }
    }

    /// The comparison itself.
    fn compare(&self, texts: &dyn Array) -> Result<BooleanArray> {
        match &self.pattern {
            Some(pattern) => Ok(pattern.compare(texts.as_string_view(), self.negated)),
            None => self.compare_plainly(texts),
        }
    }

    /// The comparison as DataFusion makes it.
    fn compare_plainly(&self, texts: &dyn Array) -> Result<BooleanArray> {
        let pattern = Scalar::new(StringViewArray::from(vec![self.like.as_str()]));
        let texts: &dyn arrow::array::Datum = &texts;
        Ok(match (self.negated, self.case_insensitive) {
            (false, false) => like(texts, &pattern),
            (false, true) => ilike(texts, &pattern),
            (true, false) => nlike(texts, &pattern),
            (true, true) => nilike(texts, &pattern),
        }?)
    }

    fn compare_once(&self, texts: &ArrayRef) -> Result<BooleanArray> {
        let views = texts.as_string_view();
        let buffers = views.data_buffers();
        if buffers.len() > MAX_BUFFERS || buffers.iter().map(Buffer::len).sum::<usize>() > MAX_BUFFER_BYTES {
            return self.compare(texts);
        }
        let mut memo = self.memo(buffers);
        let outcome = match (&mut memo.known, &self.pattern) {
            (Known::Found(finds), Some(pattern)) => pattern.among(views, finds, self.negated),
            (Known::Compared(outcomes), _) => self.compare_unknown(texts, outcomes)?,
            (Known::Found(_), None) => self.compare(texts)?,
        };
        self.memos.lock().push(memo);
        Ok(outcome)
    }

    /// The outcome for each text; those not yet known are compared, and known from then on.
    fn compare_unknown(&self, texts: &ArrayRef, known: &mut Outcomes) -> Result<BooleanArray> {
        let views = texts.as_string_view();
        let mut unknown: Vec<u32> = Vec::new();
        let mut outcome = BooleanBuffer::collect_bool(views.len(), |row| {
            known.get(views.views()[row]).unwrap_or_else(|| {
                if views.is_valid(row) {
                    unknown.push(u32::try_from(row).unwrap_or(u32::MAX));
                }
                false
            })
        });
        if !unknown.is_empty() {
            let rows = UInt32Array::from(unknown);
            let compared = self.compare(&take(texts, &rows, None)?)?;
            let mut bits = BooleanBufferBuilder::new(views.len());
            bits.append_buffer(&outcome);
            for (at, &row) in rows.values().iter().enumerate().filter(|(at, _)| compared.is_valid(*at)) {
                bits.set_bit(row as usize, compared.value(at));
                known.set(views.views()[row as usize], compared.value(at));
            }
            outcome = bits.finish();
        }
        Ok(BooleanArray::new(outcome, views.nulls().cloned()))
    }

    fn memo(&self, buffers: &[Buffer]) -> Memo {
        let mut memos = self.memos.lock();
        if let Some(at) = memos.iter().position(|m| m.is_over(buffers)) {
            return memos.swap_remove(at);
        }
        // A thread has moved on to other buffers: the oldest memo is of no more use.
        if memos.len() >= MAX_BUFFERS {
            memos.remove(0);
        }
        drop(memos);
        Memo::over(buffers, self.pattern.as_ref())
    }
}

impl PartialEq for LikeOnce {
    fn eq(&self, other: &Self) -> bool {
        let with = |l: &Self| (l.negated, l.case_insensitive);
        self.text.eq(&other.text) && self.like == other.like && with(self) == with(other)
    }
}

impl Eq for LikeOnce {}

impl Hash for LikeOnce {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        (&self.like, self.negated, self.case_insensitive).hash(state);
    }
}

impl fmt::Display for LikeOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.negated { "NOT " } else { "" };
        let like = if self.case_insensitive { "ILIKE" } else { "LIKE" };
        write!(f, "{} {not}{like} {}", self.text, self.like)
    }
}

impl PhysicalExpr for LikeOnce {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.text.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let texts = self.text.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(Arc::new(self.compare_once(&texts)?)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.text]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self::new(Arc::clone(&children[0]), &self.like, self.negated, self.case_insensitive)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewBuilder;
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::Column;
    use proptest::prelude::*;

    use super::*;

    fn batch_of(texts: StringViewArray) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("page", DataType::Utf8View, true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(texts)]).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        /// Several batches over shared and over new buffers: every row is as the plain comparison has it.
        #[test]
        fn every_row_is_as_the_plain_comparison_has_it(
            words in prop::collection::vec("[ab%_é\n]{0,20}", 1..12),
            picks in prop::collection::vec((prop::collection::vec((any::<prop::sample::Index>(), 0..10u8), 1..200), any::<bool>()), 1..6),
            pattern in prop_oneof!["[ab%_é]{0,6}", r"[ab%_\\]{0,4}", "%[abé_]{1,3}%", "[abé_]{1,3}%", "%[abé_]{1,3}"],
            (negated, case_insensitive) in any::<(bool, bool)>(),
        ) {
            let once = LikeOnce::new(Arc::new(Column::new("page", 0)), &pattern, negated, case_insensitive);
            let dictionary = StringViewArray::from_iter_values(&words);
            for (rows, shared) in picks {
                let texts = if shared {
                    let rows = UInt32Array::from_iter(rows.iter().map(|(i, n)| (*n > 0).then(|| i.index(words.len()) as u32)));
                    take(&dictionary, &rows, None).unwrap().as_string_view().clone()
                } else {
                    let mut fresh = StringViewBuilder::new();
                    for (i, n) in &rows {
                        fresh.append_option((*n > 0).then(|| &words[i.index(words.len())]));
                    }
                    fresh.finish()
                };
                let plain = once.compare_plainly(&texts).unwrap();
                let ours = once.evaluate(&batch_of(texts)).unwrap().into_array(plain.len()).unwrap();
                prop_assert_eq!(ours.as_boolean(), &plain);
            }
        }
    }
}
