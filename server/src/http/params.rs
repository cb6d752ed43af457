//! The query string. A parameter that is not known is refused: a misspelt one must not be ignored.

use axum::extract::Query;
use axum::http::Uri;

use crate::error::Problem;

/// A request's parameters, each at most once.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the query string; only `known` names are taken.
    pub fn read(uri: &Uri, known: &[&'static str]) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Problem::bad_request("invalid_query_string", "the query string cannot be read"))?;
        Self::from_pairs(pairs, known)
    }

    /// Checks pairs that were read elsewhere (a form).
    pub fn from_pairs(pairs: Vec<(String, String)>, known: &[&'static str]) -> Result<Self, Problem> {
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(Problem::bad_request("unknown_parameter", format!("`{name}` is not a parameter here"))
                    .with_hint(format!("the parameters are {}", known.join(", ")))
                    .with_nearest(name, known.iter().copied()));
            }
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::bad_request("repeated_parameter", format!("`{name}` is given twice")));
            }
        }
        Ok(Self(pairs))
    }

    /// A parameter's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A parameter that is a whole number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse();
        number.map(Some).map_err(|_| {
            Problem::bad_request("invalid_parameter", format!("`{name}` must be a whole number, not `{text}`"))
        })
    }
}
