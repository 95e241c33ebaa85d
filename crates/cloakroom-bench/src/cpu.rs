//! The processor time of this process.

use std::time::Duration;

/// Clock ticks per second in `/proc`: the value that Linux reports to programs on all current
/// machines.
const TICKS_PER_S: u64 = 100;

/// Returns the user and system time of this process so far, and of its children that have ended.
/// `None` if the system has no `/proc`.
pub(crate) fn used() -> Option<Duration> {
    read(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

fn read(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses. It may contain spaces and parentheses.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |number: usize| fields.get(number)?.parse::<u64>().ok();
    let ticks = (11..=14).map(ticks).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194304 100 0 0 0 250 50 60 40 20 0 4 0 100 1000 10";
        assert_eq!(read(stat), Some(Duration::from_secs(4)));
        assert_eq!(read(""), None);
    }
}
