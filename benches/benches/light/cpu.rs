//! The CPU time of this process.

use std::{fs, io, time::Duration};

/// User and system time of all threads of this process so far, in nanoseconds: the kernel counts ticks of 10 ms
/// in `/proc/self/stat`, and does not round in `schedstat`.
///
/// # Errors
/// There is no `/proc` that tells: this is no Linux.
pub(crate) fn used() -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let on_cpu = text.split_ascii_whitespace().next().and_then(|digits| digits.parse::<u64>().ok());
        nanoseconds += on_cpu.ok_or_else(|| io::Error::other("`/proc/self/task/*/schedstat` has no figures"))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
