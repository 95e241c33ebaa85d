//! Text tables.

use std::fmt;

use crate::terminal;

/// A heading and rows, in columns as wide as their longest text.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    heading: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(heading: [&'static str; N], rows: impl IntoIterator<Item = [String; N]>) -> Self {
        Self { heading, rows: rows.into_iter().map(|row| row.map(|text| terminal::in_one_line(&text))).collect() }
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    /// Writes nothing if there is no row. Otherwise the text ends with a line feed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let heading = self.heading.map(str::to_owned);
        let lines = || std::iter::once(&heading).chain(&self.rows);
        let widths: [usize; N] =
            std::array::from_fn(|column| lines().map(|row| row[column].chars().count()).max().unwrap_or(0));
        for row in lines() {
            let cells = std::iter::zip(row, widths).map(|(text, width)| format!("{text:<width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_columns_fit_their_texts_and_contain_no_control_characters() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let table = Table::new(["A", "LONG"], [row("ää", "x"), row("\u{1b}[2J", "y")]);
        assert_eq!(table.to_string(), "A          LONG\nää         x\n\\u{1b}[2J  y\n");
        assert_eq!(Table::new(["A"], []).to_string(), "");
    }
}
