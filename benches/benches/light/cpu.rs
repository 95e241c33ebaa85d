//! The CPU time of this process.

use std::{fs, io, time::Duration};

/// Returns the user and system time of all threads of this process so far, from `schedstat`, which
/// has nanoseconds. `/proc/self/stat` has ticks of 10 ms only.
///
/// # Errors
/// `/proc/self/task` has no such figures, because the system is not Linux.
pub(crate) fn used() -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = text.split_ascii_whitespace().next().and_then(|digits| digits.parse::<u64>().ok());
        nanoseconds += on_cpu.ok_or_else(|| io::Error::other("`/proc/self/task/*/schedstat` has no figures"))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
