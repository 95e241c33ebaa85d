//! Shrinking: removing items of a run that breaks a law, as long as it still breaks that law.

use std::collections::BTreeSet;

/// Returns the smallest part of `items` that this finds for which `fails` still holds. It first
/// removes halves, then smaller pieces, then single items ("delta debugging"). `fails` must hold
/// for all items.
pub(crate) fn smallest<T: Clone + Ord>(
    items: &BTreeSet<T>,
    mut fails: impl FnMut(&BTreeSet<T>) -> bool,
) -> BTreeSet<T> {
    let mut kept: Vec<T> = items.iter().cloned().collect();
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let before = kept.len();
        while start < kept.len() {
            let end = kept.len().min(start + size);
            let without: BTreeSet<T> = kept[..start].iter().chain(&kept[end..]).cloned().collect();
            if fails(&without) {
                kept.drain(start..end);
            } else {
                start = end;
            }
        }
        // Single items are tried again while any can be removed, because removing one may make
        // another one unnecessary.
        size = if size == 1 { usize::from(kept.len() < before) } else { size.div_ceil(2) };
    }
    kept.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_keeps_only_needed_items() {
        let all: BTreeSet<u32> = (0..100).collect();
        let needed = BTreeSet::from([3, 57, 58]);
        let mut tries = 0;
        let kept = smallest(&all, |kept| {
            tries += 1;
            kept.is_superset(&needed)
        });
        assert_eq!(kept, needed);
        assert!(tries < 100, "{tries}");
        assert_eq!(smallest(&all, |_| true), BTreeSet::new());
    }
}
