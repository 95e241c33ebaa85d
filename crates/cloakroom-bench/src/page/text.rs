//! Formatting of texts and numbers on the page.

use std::fmt;

/// A text from outside, escaped for HTML and for attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => write!(f, "{}", printable(c)),
        })
    }
}

/// Replaces control characters. Most of them are not allowed in HTML, and none has a meaning.
fn printable(c: char) -> char {
    if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c }
}

/// The text for a missing figure, or for a figure that is not finite.
const NONE: &str = "–";

/// Formats a number with this number of decimals, and with commas between thousands.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if value < 0.0 && !is_zero { "−" } else { "" };
    rest.map_or_else(|| format!("{sign}{grouped}"), |rest| format!("{sign}{grouped}.{rest}"))
}

/// Formats a number with about three significant digits.
pub(super) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    decimal(value, decimals)
}

/// Formats a whole number.
pub(super) fn count(value: u64) -> String {
    // A float cannot represent the last digits of a very large number. They do not matter here.
    decimal(value as f64, 0)
}

/// Formats a whole number with its noun.
pub(super) fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// Formats dollars with two decimals.
pub(super) fn dollars(value: f64) -> String {
    decimal(value, 2)
}

/// Formats a time in microseconds, in the most readable unit.
pub(super) fn time(us: u64) -> String {
    let us = us as f64;
    match us {
        us if us >= 60e6 => format!("{} min", number(us / 60e6)),
        us if us >= 1e6 => format!("{} s", number(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", number(us / 1e3)),
        us => format!("{us} µs"),
    }
}

/// Formats a number of bytes. A KB is 1,024 bytes, as for AWS.
pub(super) fn bytes(bytes: u64) -> String {
    const KB: u64 = 1024;
    const MB: u64 = KB * KB;
    match bytes {
        b if b >= MB => format!("{} MB", whole_or_number(b, MB)),
        b if b >= KB => format!("{} KB", whole_or_number(b, KB)),
        b => counted(b, "byte", "bytes"),
    }
}

fn whole_or_number(bytes: u64, unit: u64) -> String {
    if bytes.is_multiple_of(unit) { count(bytes / unit) } else { number(bytes as f64 / unit as f64) }
}

/// Shortens a text to `chars_max` characters. The caller must escape it.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    let printable = text.chars().map(printable);
    if text.chars().count() <= chars_max {
        return printable.collect();
    }
    printable.take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_for_html() {
        assert_eq!(
            Text("<b a=\"'\">&\u{0}\u{1b}\n").to_string(),
            "&lt;b a=&quot;&#39;&quot;&gt;&amp;\u{fffd}\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn numbers_are_formatted_for_readers() {
        let formatted = [f64::NAN, f64::INFINITY, -1234.5, 1e6, 999.9, 12.34, 1.0, 0.0, -0.0].map(number);
        assert_eq!(formatted, ["–", "–", "−1,234", "1,000,000", "1,000", "12.3", "1.00", "0.00", "0.00"]);
        assert_eq!([0, 1, 999, 1_000, 12_345_678].map(count), ["0", "1", "999", "1,000", "12,345,678"]);
        assert_eq!(
            [0, 850, 12_340, 1_200_000, 90_000_000].map(time),
            ["0 µs", "850 µs", "12.3 ms", "1.20 s", "1.50 min"]
        );
        assert_eq!([1, 100, 1024, 1500, 10 << 20].map(bytes), ["1 byte", "100 bytes", "1 KB", "1.46 KB", "10 MB"]);
        assert_eq!(dollars(8.925), "8.93");
        assert_eq!(shortened("wörter", 4), "wör…");
    }
}
