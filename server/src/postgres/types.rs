//! Arrow's types as those of Postgres, as columns of an answer are announced.

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_postgres::arrow_pg::datatypes::{PG_CHAR_KEY, PG_OID_ALIAS_KEY, pg_type_for_alias_kind};
use pgwire::api::Type;
use pgwire::messages::data::FieldDescription;

/// What a column is announced as: its type, its size in bytes, and its modifier.
pub fn type_of(field: &Field) -> Type {
    if let Some(alias) = field.metadata().get(PG_OID_ALIAS_KEY).and_then(|kind| pg_type_for_alias_kind(kind)) {
        // Names stand for numbers where the catalogue shows them so.
        return if field.data_type().is_integer() { alias } else { Type::TEXT };
    }
    if field.metadata().contains_key(PG_CHAR_KEY) {
        return Type::CHAR;
    }
    of(field.data_type())
}

fn of(kind: &DataType) -> Type {
    match kind {
        DataType::Boolean => Type::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Type::INT2,
        DataType::Int32 | DataType::UInt16 => Type::INT4,
        DataType::Int64 | DataType::UInt32 => Type::INT8,
        DataType::Float16 | DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Type::NUMERIC,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Date32 | DataType::Date64 => Type::DATE,
        DataType::Time32(_) | DataType::Time64(_) => Type::TIME,
        DataType::Interval(_) | DataType::Duration(_) => Type::INTERVAL,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Type::BYTEA,
        DataType::Dictionary(_, values) => of(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => array_of(&type_of(item)),
        DataType::Struct(_) | DataType::Map(..) => Type::JSON,
        _ => Type::TEXT,
    }
}

/// Types that have an array, with it.
const ARRAYS: [(Type, Type); 20] = [
    (Type::BOOL, Type::BOOL_ARRAY),
    (Type::INT2, Type::INT2_ARRAY),
    (Type::INT4, Type::INT4_ARRAY),
    (Type::INT8, Type::INT8_ARRAY),
    (Type::FLOAT4, Type::FLOAT4_ARRAY),
    (Type::FLOAT8, Type::FLOAT8_ARRAY),
    (Type::NUMERIC, Type::NUMERIC_ARRAY),
    (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
    (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
    (Type::DATE, Type::DATE_ARRAY),
    (Type::TIME, Type::TIME_ARRAY),
    (Type::INTERVAL, Type::INTERVAL_ARRAY),
    (Type::BYTEA, Type::BYTEA_ARRAY),
    (Type::TEXT, Type::TEXT_ARRAY),
    (Type::VARCHAR, Type::VARCHAR_ARRAY),
    (Type::NAME, Type::NAME_ARRAY),
    (Type::CHAR, Type::CHAR_ARRAY),
    (Type::OID, Type::OID_ARRAY),
    (Type::REGTYPE, Type::REGTYPE_ARRAY),
    (Type::REGCLASS, Type::REGCLASS_ARRAY),
];

/// Lists of what has no array of its own are JSON.
fn array_of(item: &Type) -> Type {
    let found = ARRAYS.iter().find(|(one, _)| one == item);
    found.map_or(Type::JSON, |(_, many)| many.clone())
}

/// The type of the elements of an array.
pub fn element(kind: &Type) -> Option<Type> {
    ARRAYS.iter().find(|(_, many)| many == kind).map(|(one, _)| one.clone())
}

fn size(kind: &Type) -> i16 {
    match *kind {
        Type::BOOL | Type::CHAR => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::FLOAT4 | Type::DATE | Type::OID | Type::REGCLASS | Type::REGTYPE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}

/// Precision and scale, as Postgres packs them; what has none is -1.
fn modifier(kind: &DataType) -> i32 {
    match kind {
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            ((i32::from(*precision) << 16) | i32::from(*scale)) + 4
        }
        DataType::Timestamp(TimeUnit::Second, _) => 0,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 3,
        _ => -1,
    }
}

/// How a column is announced.
pub fn describe(field: &Field, format: i16) -> FieldDescription {
    let kind = type_of(field);
    FieldDescription::new(field.name().clone(), 0, 0, kind.oid(), size(&kind), modifier(field.data_type()), format)
}

/// What a parameter of this type is bound as; `None` where its type does not say.
pub fn bound_as(kind: &Type) -> Option<DataType> {
    if let Some(element) = element(kind) {
        let item = bound_as(&element).unwrap_or(DataType::Utf8);
        return Some(DataType::List(Field::new_list_field(item, true).into()));
    }
    Some(match *kind {
        Type::BOOL => DataType::Boolean,
        Type::INT2 | Type::INT4 | Type::INT8 => DataType::Int64,
        Type::OID | Type::REGCLASS | Type::REGTYPE | Type::REGPROC | Type::REGNAMESPACE => DataType::Int64,
        Type::FLOAT4 | Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => DataType::Decimal128(38, 10),
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::BYTEA => DataType::Binary,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::CHAR | Type::JSON | Type::JSONB | Type::UUID => {
            DataType::Utf8
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_events_have_types() {
        for (kind, expected) in [
            (DataType::Utf8View, Type::TEXT),
            (DataType::Decimal128(18, 4), Type::NUMERIC),
            (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), Type::TIMESTAMPTZ),
            (DataType::List(Field::new_list_field(DataType::Utf8View, true).into()), Type::TEXT_ARRAY),
            (
                DataType::List(
                    Field::new_list_field(DataType::Struct(vec![Field::new("a", DataType::Utf8, true)].into()), true)
                        .into(),
                ),
                Type::JSON,
            ),
            (DataType::Null, Type::TEXT),
        ] {
            assert_eq!(type_of(&Field::new("x", kind, true)), expected);
        }
        assert_eq!(modifier(&DataType::Decimal128(18, 4)), (18 << 16 | 4) + 4);
        assert_eq!(element(&Type::INT8_ARRAY), Some(Type::INT8));
    }
}
