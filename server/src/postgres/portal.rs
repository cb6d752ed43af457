//! What a session keeps between messages: prepared statements, and portals, which are statements with values, begun or not.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use pgwire::api::Type;
use tideline_engine::query::{QueryOutput, Understood};

use super::encode::Rows;
use super::utility::Utility;

/// A prepared statement.
#[derive(Debug)]
pub enum Prepared {
    /// There was nothing in it.
    Empty,
    /// One of the connection.
    Utility(Utility),
    /// One of data.
    Query {
        /// It, past the guard.
        understood: Arc<Understood>,
        /// What its parameters are bound as.
        types: Vec<Type>,
    },
}

impl Prepared {
    /// It, where it is about the connection.
    pub fn utility(&self) -> Option<&Utility> {
        match self {
            Self::Utility(utility) => Some(utility),
            _ => None,
        }
    }

    /// The types of its parameters.
    pub fn types(&self) -> &[Type] {
        match self {
            Self::Query { types, .. } => types,
            _ => &[],
        }
    }

    /// The columns of its answer; `None` where it has no rows.
    pub fn fields(&self) -> Option<Fields> {
        match self {
            Self::Empty => None,
            Self::Utility(utility) => utility.shows().map(show_field),
            Self::Query { understood, .. } => Some(understood.schema.fields().clone()),
        }
    }

    /// How many there are.
    pub fn columns(&self) -> usize {
        self.fields().map_or(0, |fields| fields.len())
    }
}

/// The columns of what shows a setting, or all of them.
pub fn show_field(name: Option<&str>) -> Fields {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    match name {
        Some(name) => vec![text(name)].into(),
        None => vec![text("name"), text("setting")].into(),
    }
}

/// A statement with its values.
#[derive(Debug)]
pub struct Portal {
    /// The statement.
    pub prepared: Arc<Prepared>,
    /// The values, until it is begun.
    pub values: Vec<ScalarValue>,
    /// Of each column whether it is sent in binary.
    pub formats: Vec<bool>,
    /// What is left of it, once it is begun.
    pub running: Option<Running>,
    /// Whether every row was sent.
    pub is_done: bool,
}

impl Portal {
    /// Not begun.
    pub fn new(prepared: Arc<Prepared>, values: Vec<ScalarValue>, formats: Vec<bool>) -> Self {
        Self { prepared, values, formats, running: None, is_done: false }
    }
}

/// A query that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// Where its batches come from.
    pub output: QueryOutput,
    /// The batch that is being sent.
    pub rows: Option<Rows>,
    /// Of each column whether it is sent in binary.
    pub formats: Vec<bool>,
}

impl Running {
    /// From its first row on.
    pub fn new(output: QueryOutput, formats: Vec<bool>) -> Self {
        Self { output, rows: None, formats }
    }
}
