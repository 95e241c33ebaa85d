//! Seeds that failed once. Each stays, and is run again by a test.

/// A scenario, a seed, and what it showed, on a line each.
const SEEDS: &str = include_str!("../../seeds.txt");

/// The seeds of a scenario that failed at some time.
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
        _ => panic!("`{line}` in seeds.txt is not a scenario, a seed, and what it showed"),
    }
}
