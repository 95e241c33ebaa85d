//! Reads orders from lines of JSON. A line that is not a valid order is reported by its number, and
//! skipped.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{self, BufRead},
};

use cloakroom_shop::orders::PlaceOrder;

use crate::terminal;

/// The longest line, in bytes. A longer line is skipped, and its rest is not held in memory.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// The number of skipped lines that are reported one by one. Further ones are only counted.
const REPORTED_MAX: usize = 100;
/// The longest id or name, in bytes. They become parts of DynamoDB keys.
const NAME_BYTES_MAX: usize = 256;
const QUANTITY_MAX: u64 = 1_000_000;
const PRICE_CENTS_MAX: u64 = 100_000_000;

/// A skipped line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BadLine {
    line: u64,
    reason: String,
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// The orders, and the lines that were skipped.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) orders: Vec<PlaceOrder>,
    /// The first skipped lines, at most [`REPORTED_MAX`].
    bad: Vec<BadLine>,
    /// The number of all skipped lines.
    pub(crate) skipped: u64,
}

impl Input {
    fn skip(&mut self, line: u64, reason: String) {
        self.skipped += 1;
        if self.bad.len() < REPORTED_MAX {
            self.bad.push(BadLine { line, reason });
        }
    }

    /// Prints the numbers of the skipped lines, with the reasons, to standard error.
    pub(crate) fn report_skipped(&self) {
        for bad in &self.bad {
            terminal::report(format_args!("skipped {bad}"));
        }
        let more = self.skipped - self.bad.len() as u64;
        if more > 0 {
            terminal::report(format_args!("skipped {more} more lines"));
        }
    }
}

/// Reads at most `orders_max` orders.
pub(crate) fn read(mut lines: impl BufRead, orders_max: usize) -> io::Result<Input> {
    let mut input = Input::default();
    // The line of each order id.
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut number = 0;
    while input.orders.len() < orders_max {
        let Some(line) = next_line(&mut lines)? else { break };
        number += 1;
        let order = match line.and_then(|line| order(&line)) {
            Ok(Some(order)) => match seen.entry(order.order.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(number);
                    Ok(order)
                }
                Entry::Occupied(first) => Err(format!("order `{}` is in line {} already", order.order, first.get())),
            },
            Ok(None) => continue,
            Err(reason) => Err(reason),
        };
        match order {
            Ok(order) => input.orders.push(order),
            Err(reason) => input.skip(number, reason),
        }
    }
    Ok(input)
}

/// Reads the next line. The inner result is an error if the line is too long. `None` at the end.
fn next_line(lines: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, String>>> {
    let mut line = Vec::new();
    let read = io::Read::take(&mut *lines, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') || (read as u64) < LINE_BYTES_MAX {
        return Ok(Some(Ok(line)));
    }
    lines.skip_until(b'\n')?;
    Ok(Some(Err(format!("longer than {LINE_BYTES_MAX} bytes"))))
}

/// Parses the order of a line. `None` if the line is blank.
fn order(line: &[u8]) -> Result<Option<PlaceOrder>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let order: PlaceOrder = serde_json::from_slice(line).map_err(|error| format!("not an order: {error}"))?;
    for (field, name) in [("order", &order.order), ("customer", &order.customer), ("sku", &order.sku)] {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!("`{field}` must have 1 to {NAME_BYTES_MAX} bytes, not {}", name.len()));
        }
    }
    for (field, value, max) in
        [("quantity", order.quantity, QUANTITY_MAX), ("unit_price_cents", order.unit_price_cents, PRICE_CENTS_MAX)]
    {
        if !(1..=max).contains(&value) {
            return Err(format!("`{field}` must be from 1 to {max}, not {value}"));
        }
    }
    Ok(Some(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"order":"o-1","customer":"c","sku":"s","quantity":1,"unit_price_cents":5}"#;

    fn bad(text: &str) -> Vec<BadLine> {
        read(text.as_bytes(), 100).expect("reading from memory").bad
    }

    #[test]
    fn reader_reports_bad_lines_and_keeps_the_other_orders() {
        let good_too = GOOD.replace("o-1", "o-2");
        let text = format!("{GOOD}\n\nnonsense\n{}\n{GOOD}\n{good_too}", GOOD.replace(":1,", ":0,"));
        let input = read(text.as_bytes(), 100).expect("reading from memory");
        assert_eq!(input.orders.iter().map(|order| order.order.as_str()).collect::<Vec<_>>(), ["o-1", "o-2"]);
        let lines: Vec<_> = input.bad.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [3, 4, 5]);
        assert_eq!(input.bad[1].reason, "`quantity` must be from 1 to 1000000, not 0");
        assert_eq!(input.bad[2].to_string(), "line 5: order `o-1` is in line 1 already");
    }

    #[test]
    fn overlong_line_is_skipped() {
        let text = format!("{}\n{GOOD}", "x".repeat(1_000_000));
        let input = read(text.as_bytes(), 100).expect("reading from memory");
        assert_eq!((input.orders.len(), input.bad.len()), (1, 1));
        assert!(input.bad[0].reason.contains("65536"));
    }

    #[test]
    fn reader_rejects_invalid_utf8_and_unknown_fields() {
        let input = read(&b"\xff\xfe\n"[..], 100).expect("reading from memory");
        assert_eq!(input.bad.len(), 1);
        assert!(bad(&GOOD.replace("{", r#"{"surprise":1,"#))[0].reason.contains("surprise"));
    }

    #[test]
    fn reader_stops_after_the_maximum_number_of_orders() {
        let input = read(format!("{GOOD}\n{GOOD}\n").as_bytes(), 1).expect("reading from memory");
        assert_eq!((input.orders.len(), input.bad.len()), (1, 0));
    }
}
