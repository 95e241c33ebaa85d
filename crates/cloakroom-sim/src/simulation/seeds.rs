//! Seeds that failed once. Each stays in the list, and a test runs it again.

/// On each line a scenario, a seed, and what it showed.
const SEEDS: &str = include_str!("../../seeds.txt");

/// Returns the seeds of a scenario that failed once.
///
/// ```
/// use cloakroom_sim::simulation::known_seeds;
///
/// assert!(known_seeds("no such scenario").is_empty());
/// ```
///
/// # Panics
/// If a line of the file cannot be read.
pub fn known_seeds(scenario: &str) -> Vec<u64> {
    let lines = SEEDS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(read).filter(|(name, _)| *name == scenario).map(|(_, seed)| seed).collect()
}

fn read(line: &str) -> (&str, u64) {
    let mut words = line.split_whitespace();
    match (words.next(), words.next().map(str::parse)) {
        (Some(scenario), Some(Ok(seed))) => (scenario, seed),
        _ => {
            panic!("`{line}` in seeds.txt is not a scenario, a seed, and what it showed; write these three on one line")
        }
    }
}
