//! Rows as text for people: aligned columns, or one value a line where they are too wide.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use tideline_engine::error::Result;

/// Longer texts are cut, and end in `…`.
const MAX_CELL_CHARS: usize = 60;
/// Wider tables are written one value a line.
const MAX_TABLE_CHARS: usize = 220;

/// A table of texts.
#[derive(Debug, Default)]
pub struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// Whether a column is aligned right.
    pub right: Vec<bool>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows.
    pub fn of_schema(schema: &Schema) -> Self {
        Self {
            header: schema.fields().iter().map(|f| f.name().clone()).collect(),
            right: schema.fields().iter().map(|f| is_number(f.data_type())).collect(),
            rows: Vec::new(),
        }
    }

    /// Of texts.
    pub fn of_texts(header: &[&str]) -> Self {
        let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
        Self { right: vec![false; header.len()], header, rows: Vec::new() }
    }

    /// Appends rows.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_null("null");
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &OPTIONS))
            .collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| column.value(row).to_string());
            self.rows.push(cells.collect());
        }
        Ok(())
    }

    /// Writes the rows below one another, or, when `expanded` or too wide, one value a line.
    pub fn write(&self, out: &mut dyn Write, expanded: bool) -> io::Result<()> {
        let cut: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(|c| one_line(c)).collect()).collect();
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                let cells = cut.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
                cells.chain([width(self.header.get(column).map_or("", String::as_str))]).max().unwrap_or(0)
            })
            .collect();
        let total: usize = widths.iter().map(|w| w + 3).sum();
        if expanded || (total > MAX_TABLE_CHARS && !cut.is_empty()) {
            return self.write_expanded(out);
        }
        write_row(out, &self.header, &widths, &vec![false; widths.len()])?;
        let rule: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
        writeln!(out, "{}", rule.join("+"))?;
        for row in &cut {
            write_row(out, row, &widths, &self.right)?;
        }
        Ok(())
    }

    fn write_expanded(&self, out: &mut dyn Write) -> io::Result<()> {
        let name_width = self.header.iter().map(|h| width(h)).max().unwrap_or(0);
        for (number, row) in self.rows.iter().enumerate() {
            writeln!(out, "-[ row {} ]{}", number + 1, "-".repeat(40))?;
            for (name, cell) in self.header.iter().zip(row) {
                let pad = " ".repeat(name_width - width(name));
                writeln!(out, "{name}{pad} | {}", cell.replace('\n', "\\n"))?;
            }
        }
        Ok(())
    }
}

fn write_row(out: &mut dyn Write, cells: &[String], widths: &[usize], right: &[bool]) -> io::Result<()> {
    let mut line = String::new();
    for (i, (cell, column)) in cells.iter().zip(widths).enumerate() {
        let pad = " ".repeat(column.saturating_sub(width(cell)));
        line.push_str(if i == 0 { " " } else { " | " });
        if right.get(i).copied().unwrap_or(false) {
            line.push_str(&pad);
            line.push_str(cell);
        } else {
            line.push_str(cell);
            line.push_str(&pad);
        }
    }
    writeln!(out, "{}", line.trim_end())
}

fn one_line(cell: &str) -> String {
    let mut chars = cell.chars().map(|c| if c.is_control() { ' ' } else { c });
    let kept: String = chars.by_ref().take(MAX_CELL_CHARS).collect();
    if chars.next().is_none() {
        return kept;
    }
    let mut kept: String = kept.chars().take(MAX_CELL_CHARS - 1).collect();
    kept.push('…');
    kept
}

/// Columns on a terminal, close enough: one for each character.
fn width(text: &str) -> usize {
    text.chars().count()
}

fn is_number(kind: &DataType) -> bool {
    kind.is_numeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, StringArray};
    use std::sync::Arc;

    fn text(table: &Table, expanded: bool) -> String {
        let mut out = Vec::new();
        table.write(&mut out, expanded).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_stand_right_and_text_left() {
        let money = Decimal128Array::from(vec![Some(12_500), None]).with_precision_and_scale(18, 4).unwrap();
        let names = StringArray::from(vec!["é", "a\nb"]);
        let batch =
            RecordBatch::try_from_iter([("name", Arc::new(names) as _), ("price", Arc::new(money) as _)]).unwrap();
        let mut table = Table::of_schema(&batch.schema());
        table.push(&batch).unwrap();
        assert_eq!(text(&table, false), " name | price\n------+--------\n é    | 1.2500\n a b  |   null\n");
        assert!(text(&table, true).contains("name  | a\\nb\nprice | null\n"));
    }

    #[test]
    fn long_text_is_cut_and_wide_tables_turn() {
        assert_eq!(one_line(&"x".repeat(60)).len(), 60);
        assert_eq!(one_line(&"x".repeat(61)).chars().count(), 60);
        let names: Vec<String> = (0..40).map(|i| format!("column_{i}")).collect();
        let wide = Table { header: names.clone(), right: vec![false; 40], rows: vec![names] };
        assert!(text(&wide, false).starts_with("-[ row 1 ]"));
    }
}
