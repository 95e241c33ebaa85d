//! All output to standard output and standard error.
//!
//! Printed ids, types, reasons and errors come from messages, items and object keys that other
//! systems wrote. A terminal executes control characters, and characters such as U+202E change the
//! order in which a line is read. So this module escapes all output, and `print!` and the like are
//! forbidden in the rest of the command.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal as _, Write as _},
    sync::OnceLock,
};

use crate::site::Failure;

/// Whether progress is reported even if standard error is not a terminal.
static ALWAYS_REPORTS_PROGRESS: OnceLock<bool> = OnceLock::new();

/// Sets the value of `--progress`, before anything is printed.
pub(crate) fn report_progress_always(always: bool) {
    ALWAYS_REPORTS_PROGRESS.get_or_init(|| always);
}

/// Returns whether [`progress`] prints.
pub(crate) fn reports_progress() -> bool {
    ALWAYS_REPORTS_PROGRESS.get().copied().unwrap_or_default() || io::stderr().is_terminal()
}

/// Returns whether a character controls a terminal, is invisible, or changes the direction of text.
const fn is_unprintable(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Escapes unprintable characters as in `\u{202e}`, except those that `keep` accepts.
fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) && !keep(c) {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Escapes a text to one line: line feeds are also escaped.
pub(crate) fn in_one_line(text: &str) -> String {
    escaped(text, |_| false)
}

/// Escapes a text, and keeps its line feeds.
fn in_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

/// Escapes JSON. Only its strings can contain unprintable characters. They are escaped in the JSON
/// form, so the value stays the same.
pub(crate) fn in_json(json: &str) -> String {
    let mut printable = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unprintable(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(printable, "\\u{unit:04x}").expect("writing to a string never fails");
            }
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Prints lines of text to standard output.
pub(crate) fn print(text: impl fmt::Display) -> Result<(), Failure> {
    write(format!("{}\n", in_lines(&text.to_string())).as_bytes())
}

/// Prints a value as one line of JSON to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(Failure::new)?;
    write(format!("{}\n", in_json(&json)).as_bytes())
}

/// Prints data to standard output: unchanged to a file or a program, and escaped to a terminal.
pub(crate) fn print_data(data: &[u8]) -> Result<(), Failure> {
    write(&for_reader(data, io::stdout().is_terminal()))
}

fn for_reader(data: &[u8], is_terminal: bool) -> Vec<u8> {
    if is_terminal { in_lines(&String::from_utf8_lossy(data)).into_bytes() } else { data.to_vec() }
}

/// Writes to standard output, unescaped. It is no error if the reader closes the pipe early.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("writing to standard output failed: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints lines of text to standard error: errors and instructions.
pub(crate) fn report(text: impl fmt::Display) {
    // If writing to standard error fails, there is no place to report that.
    let _ = writeln!(io::stderr(), "{}", in_lines(&text.to_string()));
}

/// Prints a line of progress to standard error, if that is a terminal or `--progress` was given.
pub(crate) fn progress(text: impl fmt::Display) {
    if reports_progress() {
        report(text);
    }
}

/// A writer of log lines to standard error. It escapes them, because they contain ids of messages.
pub(crate) struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(in_lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{202e}b\u{1b}[2Jc\u{9b}1md\re\u{200b}f\u{e0041}g\u{7f}";

    #[test]
    fn unprintable_characters_are_escaped_and_letters_of_all_scripts_are_not() {
        let shown = in_lines(&format!("{HOSTILE}\nzweite Zeile: grün, 日本語, e\u{301}, \\"));
        let expected = "a\\u{202e}b\\u{1b}[2Jc\\u{9b}1md\\re\\u{200b}f\\u{e0041}g\\u{7f}\nzweite Zeile: grün, 日本語, e\u{301}, \\";
        assert_eq!(shown, expected);
        assert_eq!(in_one_line("a\nb\tc"), "a\\nb\\tc");
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE, "grün"] });
        let json = in_json(&value.to_string());
        assert!(!json.chars().any(is_unprintable), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), value);
    }

    #[test]
    fn data_is_escaped_for_a_terminal_only() {
        assert_eq!(for_reader(HOSTILE.as_bytes(), false), HOSTILE.as_bytes());
        assert_eq!(for_reader(HOSTILE.as_bytes(), true), in_lines(HOSTILE).as_bytes());
        assert_eq!(for_reader(b"\xff\n", true), "\u{fffd}\n".as_bytes());
    }
}
