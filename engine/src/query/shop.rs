//! The shop's own days and money: functions that know its time zone and currency.
//!
//! - `shop_time(ts)`: the shop's wall clock at that moment, a timestamp without a zone;
//! - `shop_day(ts)`: the shop's local day, which is 23 or 25 hours long when clocks change;
//! - `shop_midnight(day)`: the moment (UTC) at which a local day begins;
//! - `shop_day_end(day)`: the moment at which it ends, the first of the next day;
//! - `shop_currency()`: what amounts without a currency are in.

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::clock::Micros;
use crate::event::{day_of, time_type};

/// Time zones change their offset at multiples of this only.
const QUARTER: Micros = 15 * 60 * 1_000_000;

/// Where the shop is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shop {
    /// Its reporting time zone.
    pub time_zone: Tz,
    /// Its currency, ISO 4217.
    pub currency: String,
}

impl Default for Shop {
    fn default() -> Self {
        Self { time_zone: Tz::UTC, currency: "EUR".to_owned() }
    }
}

/// The time zone of a name like `Europe/Berlin`; `None` when there is none.
pub fn time_zone(name: &str) -> Option<Tz> {
    name.parse().ok()
}

impl Shop {
    /// The offset of local time at a moment, in microseconds.
    fn offset(&self, time: Micros) -> Micros {
        let utc = DateTime::from_timestamp_micros(time).unwrap_or_default().naive_utc();
        Micros::from(self.time_zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000
    }

    /// The moment a local day begins. Where clocks skip midnight it is the first moment after.
    pub fn midnight(&self, day: i32) -> Option<Micros> {
        let date = NaiveDate::from_ymd_opt(1970, 1, 1)?;
        let date = match u64::try_from(day) {
            Ok(days) => date.checked_add_days(Days::new(days))?,
            Err(_) => date.checked_sub_days(Days::new(u64::from(day.unsigned_abs())))?,
        };
        let midnight = date.and_time(NaiveTime::MIN);
        (0..=8).find_map(|quarters| {
            let local = midnight + TimeDelta::minutes(quarters * 15);
            self.time_zone.from_local_datetime(&local).earliest().map(|t| t.timestamp_micros())
        })
    }

    /// The local day of a moment, in days since the epoch.
    pub fn day(&self, time: Micros) -> i32 {
        day_of(time + self.offset(time))
    }

    /// The functions.
    pub(super) fn functions(&self) -> Vec<Arc<ScalarUDF>> {
        [Name::Time, Name::Day, Name::Midnight, Name::DayEnd, Name::Currency]
            .map(|name| Arc::new(ScalarUDF::from(ShopFunction::new(self.clone(), name))))
            .to_vec()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    Time,
    Day,
    Midnight,
    DayEnd,
    Currency,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ShopFunction {
    shop: Shop,
    name: Name,
    signature: Signature,
}

impl ShopFunction {
    fn new(shop: Shop, name: Name) -> Self {
        let arguments = match name {
            Name::Currency => TypeSignature::Nullary,
            _ => TypeSignature::Any(1),
        };
        Self { shop, name, signature: Signature::new(arguments, Volatility::Immutable) }
    }

    /// Local times; neighbours nearly always share their offset.
    fn local(&self, times: &TimestampMicrosecondArray) -> TimestampMicrosecondArray {
        let known = Cell::new((Micros::MIN, 0));
        times.unary(|time| {
            let quarter = time.div_euclid(QUARTER);
            if quarter != known.get().0 {
                known.set((quarter, self.shop.offset(time)));
            }
            time + known.get().1
        })
    }

    fn of(&self, argument: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self.name {
            Name::Midnight | Name::DayEnd => {
                let days = cast(argument, &DataType::Date32)?;
                let later = i32::from(self.name == Name::DayEnd);
                let begin = |day: Option<i32>| day.and_then(|d| self.shop.midnight(d.checked_add(later)?));
                let begins = days.as_primitive::<Date32Type>().iter().map(begin);
                Arc::new(begins.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
            Name::Day | Name::Time | Name::Currency => {
                let times = cast(argument, &time_type())?;
                let local = self.local(times.as_primitive::<TimestampMicrosecondType>());
                match self.name {
                    Name::Day => Arc::new(local.unary::<_, Date32Type>(day_of)) as Arc<Date32Array>,
                    _ => Arc::new(local) as ArrayRef,
                }
            }
        })
    }
}

impl ScalarUDFImpl for ShopFunction {
    fn name(&self) -> &str {
        match self.name {
            Name::Time => "shop_time",
            Name::Day => "shop_day",
            Name::Midnight => "shop_midnight",
            Name::DayEnd => "shop_day_end",
            Name::Currency => "shop_currency",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.name {
            Name::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
            Name::Day => DataType::Date32,
            Name::Midnight | Name::DayEnd => time_type(),
            Name::Currency => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.name == Name::Currency {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(self.shop.currency.clone()))));
        }
        match args.args.first() {
            Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(self.of(array)?)),
            Some(ColumnarValue::Scalar(value)) => {
                let one = self.of(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?))
            }
            None => plan_err!("{} takes one argument", self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;

    use super::*;
    use crate::clock::HOUR;

    fn berlin() -> Shop {
        Shop { time_zone: time_zone("Europe/Berlin").unwrap(), ..Shop::default() }
    }

    fn at(text: &str) -> Micros {
        text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros()
    }

    #[test]
    fn days_are_local_and_change_their_length_with_the_clocks() {
        let shop = berlin();
        let day = |text: &str| shop.day(at(text));
        assert_eq!(day("2026-03-28T22:59:59Z") + 1, day("2026-03-28T23:00:00Z"));
        // The last Sunday in March has 23 hours, the last in October 25.
        let length = |text: &str| {
            let day = day(text);
            (shop.midnight(day + 1).unwrap() - shop.midnight(day).unwrap()) / HOUR
        };
        assert_eq!((length("2026-03-29T12:00:00Z"), length("2026-10-25T12:00:00Z")), (23, 25));
        assert_eq!(length("2026-06-01T12:00:00Z"), 24);
    }

    #[test]
    fn a_day_that_has_no_midnight_begins_when_clocks_have_moved() {
        let shop = Shop { time_zone: time_zone("America/Sao_Paulo").unwrap(), ..Shop::default() };
        let begin = shop.midnight(shop.day(at("2018-11-04T12:00:00Z"))).unwrap();
        assert_eq!(begin, at("2018-11-04T03:00:00Z"));
    }

    #[test]
    fn a_day_ends_where_the_next_begins() {
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(berlin().day(at("2026-03-29T12:00:00Z"))), None]));
        let [begins, ends] =
            [Name::Midnight, Name::DayEnd].map(|name| ShopFunction::new(berlin(), name).of(&days).unwrap());
        let moment = |array: &ArrayRef| array.as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!((moment(&begins), moment(&ends)), (at("2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z")));
        assert!(ends.is_null(1));
    }

    #[test]
    fn a_whole_column_equals_each_moment_by_itself() {
        let function = ShopFunction::new(berlin(), Name::Day);
        let times: Vec<Micros> = (0..4_000).map(|n| at("2026-03-27T00:00:00Z") + n * 97_000_000).collect();
        let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times.clone()).with_timezone("UTC"));
        let days = function.of(&array).unwrap();
        let each: Vec<i32> = times.iter().map(|t| berlin().day(*t)).collect();
        assert_eq!(days.as_primitive::<Date32Type>().values().to_vec(), each);
    }
}
