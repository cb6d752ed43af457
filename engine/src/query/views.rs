//! Views over `events`: each a file in `queries/views`, of one SELECT. One may use those before it.

use std::sync::Arc;

use datafusion::catalog::SchemaProvider;
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionState;

use super::errors;
use crate::error::Result;

macro_rules! views {
    ($($name:literal),* $(,)?) => {
        [$( ($name, include_str!(concat!("../../../queries/views/", $name, ".sql"))) ),*]
    };
}

/// Name and text of every view.
pub(super) const VIEWS: [(&str, &str); 1] = views!["line_items"];

/// Plans the views and adds them to the schema that `session` looks tables up in.
pub(super) fn register(session: &SessionState, schema: &dyn SchemaProvider) -> Result<()> {
    for (name, sql) in VIEWS {
        let plan = futures::executor::block_on(session.create_logical_plan(sql));
        let plan = plan.map_err(|e| errors::from_datafusion(e).context(format!("the view {name}")))?;
        let view = Arc::new(ViewTable::new(plan, Some(sql.to_owned())));
        schema.register_table(name.to_owned(), view).map_err(errors::from_datafusion)?;
    }
    Ok(())
}
