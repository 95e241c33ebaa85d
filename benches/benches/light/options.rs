//! The options of the benchmark.

use cloakroom::ports::Placement;

use crate::{Contestant, Failure};

/// The numbers of pairs and messages, and the placements to measure one after the other.
pub(crate) struct Options {
    pub(crate) pairs: usize,
    pub(crate) messages: usize,
    pub(crate) placements: Vec<Placement>,
    /// Runs only this contestant, for a profiler.
    pub(crate) only: Option<Contestant>,
    /// Runs ours with its default settings. Then reads of items share requests, so it sends fewer
    /// than raw.
    pub(crate) shared: bool,
}

const USAGE: &str = "--pairs N (default 10), --messages N (default 2000), --placement separate|embedded (default both), \
                     --only ours|raw (without comparison, for a profiler), --shared (ours with its default settings: reads share requests)";

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// An option is unknown, or a number is invalid or 0.
    pub(crate) fn read(arguments: &[String]) -> Result<Self, Failure> {
        let placements = vec![Placement::Separate, Placement::Embedded];
        let mut options = Self { pairs: 10, messages: 2_000, placements, only: None, shared: false };
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(name) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| format!("option `{name}` needs a value; the options are {USAGE}"));
            match name {
                "--pairs" => options.pairs = count(name, value()?)?,
                "--messages" => options.messages = count(name, value()?)?,
                "--placement" => options.placements = vec![placement(value()?)?],
                "--only" => options.only = Some(contestant(value()?)?),
                "--shared" => options.shared = true,
                // `cargo bench` adds this option.
                "--bench" => {}
                other => return Err(format!("option `{other}` is unknown; the options are {USAGE}").into()),
            }
        }
        Ok(options)
    }
}

fn count(name: &str, text: &str) -> Result<usize, Failure> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("`{name}` is `{text}`; it must be a number from 1").into())
}

fn placement(text: &str) -> Result<Placement, Failure> {
    match text {
        "separate" => Ok(Placement::Separate),
        "embedded" => Ok(Placement::Embedded),
        _ => Err(format!("`--placement` is `{text}`; it must be `separate` or `embedded`").into()),
    }
}

fn contestant(text: &str) -> Result<Contestant, Failure> {
    match text {
        "ours" => Ok(Contestant::Ours),
        "raw" => Ok(Contestant::Raw),
        _ => Err(format!("`--only` is `{text}`; it must be `ours` or `raw`").into()),
    }
}
