//! What is asked for.

use cloakroom::ports::Placement;

use crate::{Contestant, Failure};

/// Pairs and messages, and the placements to be compared one after the other.
pub(crate) struct Options {
    pub(crate) pairs: usize,
    pub(crate) messages: usize,
    pub(crate) placements: Vec<Placement>,
    /// One contestant alone, for a profiler.
    pub(crate) only: Option<Contestant>,
    /// Ours with its default settings, by which reads of items share requests: then it does not send the same ones.
    pub(crate) shared: bool,
}

const USAGE: &str = "--pairs N (default 10), --messages N (default 2000), --placement beside|embedded (default both), \
                     --only ours|raw (nothing is compared: for a profiler), --shared (ours as it is by default: reads share requests)";

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// Those that are not known, and numbers that are none, or 0.
    pub(crate) fn read(arguments: &[String]) -> Result<Self, Failure> {
        let placements = vec![Placement::Separate, Placement::Embedded];
        let mut options = Self { pairs: 10, messages: 2_000, placements, only: None, shared: false };
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("`{name}` wants a value; known are {USAGE}"));
            match name {
                "--pairs" => options.pairs = count(name, value()?)?,
                "--messages" => options.messages = count(name, value()?)?,
                "--placement" => options.placements = vec![placement(value()?)?],
                "--only" => options.only = Some(contestant(value()?)?),
                "--shared" => options.shared = true,
                // From `cargo bench` itself.
                "--bench" => {}
                other => return Err(format!("`{other}` is not known; known are {USAGE}").into()),
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
        "beside" => Ok(Placement::Separate),
        "embedded" => Ok(Placement::Embedded),
        _ => Err(format!("`--placement` is `{text}`; it must be `beside` or `embedded`").into()),
    }
}

fn contestant(text: &str) -> Result<Contestant, Failure> {
    match text {
        "ours" => Ok(Contestant::Ours),
        "raw" => Ok(Contestant::Raw),
        _ => Err(format!("`--only` is `{text}`; it must be `ours` or `raw`").into()),
    }
}
