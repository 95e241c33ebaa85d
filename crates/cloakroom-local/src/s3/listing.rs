//! Listing a bucket: pages of keys and common prefixes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::s3::object::Object;

/// The parameters of a listing.
#[derive(Debug, Default)]
pub(super) struct Query<'q> {
    pub(super) prefix: &'q str,
    pub(super) delimiter: Option<&'q str>,
    /// Only keys after this one are listed.
    pub(super) after: &'q str,
    pub(super) max: usize,
}

/// One page.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Arc<Object>)>,
    pub(super) common_prefixes: Vec<String>,
    /// The key or prefix after which the next page begins. `None` if this is the last page.
    pub(super) next: Option<String>,
}

impl Page {
    pub(super) fn len(&self) -> usize {
        self.objects.len() + self.common_prefixes.len()
    }
}

/// Lists keys in order. Keys with the delimiter after the query's prefix are combined into one
/// common prefix. They are skipped without examining each of them.
pub(super) fn list(objects: &BTreeMap<String, Arc<Object>>, query: &Query<'_>) -> Page {
    let mut page = Page::default();
    if query.max == 0 {
        return page;
    }
    let mut last: Option<String> = None;
    let mut from = first(query);
    loop {
        let start = (from.as_ref().map(String::as_str), Bound::Unbounded);
        let Some((key, object)) = objects.range::<str, _>(start).next() else {
            return page;
        };
        if !key.starts_with(query.prefix) {
            return page;
        }
        if page.len() == query.max {
            page.next = last;
            return page;
        }
        match common_prefix(key, query) {
            Some(common) => {
                from = past(common);
                last = Some(common.to_owned());
                page.common_prefixes.push(common.to_owned());
            }
            None => {
                from = Bound::Excluded(key.clone());
                last = Some(key.clone());
                page.objects.push((key.clone(), Arc::clone(object)));
            }
        }
    }
}

fn first(query: &Query<'_>) -> Bound<String> {
    if query.after < query.prefix {
        return Bound::Included(query.prefix.to_owned());
    }
    // `after` is a common prefix, so all keys with this prefix have been listed.
    match common_prefix(query.after, query) {
        Some(common) if common == query.after => past(common),
        _ => Bound::Excluded(query.after.to_owned()),
    }
}

/// Returns the first key after all keys with this prefix.
fn past(prefix: &str) -> Bound<String> {
    let mut chars = prefix.chars();
    while let Some(last) = chars.next_back() {
        // The last character has no successor, so the character before it is increased.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            return Bound::Included(format!("{}{next}", chars.as_str()));
        }
    }
    Bound::Excluded(prefix.to_owned())
}

fn common_prefix<'k>(key: &'k str, query: &Query<'_>) -> Option<&'k str> {
    let delimiter = query.delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let rest = key.strip_prefix(query.prefix)?;
    let end = rest.find(delimiter)? + delimiter.len();
    Some(&key[..query.prefix.len() + end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::object::Properties;

    fn objects(keys: &[&str]) -> BTreeMap<String, Arc<Object>> {
        let object = Arc::new(Object { properties: Properties::default(), body: bytes::Bytes::new() });
        keys.iter().map(|k| ((*k).to_owned(), Arc::clone(&object))).collect()
    }

    /// Lists all pages of two entries. Returns their keys and common prefixes in order.
    fn pages(objects: &BTreeMap<String, Arc<Object>>, prefix: &str) -> Vec<String> {
        let mut listed = Vec::new();
        let mut after = String::new();
        loop {
            let page = list(objects, &Query { prefix, delimiter: Some("/"), after: &after, max: 2 });
            assert!(page.len() <= 2);
            listed.extend(page.objects.into_iter().map(|(key, _)| key));
            listed.extend(page.common_prefixes);
            match page.next {
                Some(next) => after = next,
                None => return listed,
            }
        }
    }

    #[test]
    fn pages_of_a_listing_neither_repeat_nor_skip_keys() {
        let objects = objects(&["a", "b/1", "b/2", "b/3", "c", "d/1", "d/é", "e"]);
        let mut listed = pages(&objects, "");
        listed.sort();
        assert_eq!(listed, ["a", "b/", "c", "d/", "e"]);
        assert_eq!(pages(&objects, "b/"), ["b/1", "b/2", "b/3"]);
        assert!(pages(&objects, "x").is_empty());
    }

    #[test]
    fn full_last_page_has_no_continuation() {
        let objects = objects(&["a", "b"]);
        let query = Query { max: 2, ..Query::default() };
        assert_eq!(list(&objects, &query).next, None);
    }
}
