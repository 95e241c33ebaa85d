//! Buckets and their objects.
//!
//! One lock protects all buckets, so checking a condition and performing the write is one atomic
//! step. Bodies are reference-counted, so none is copied while the lock is held.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use s3s::{S3Result, s3_error};

use crate::clock::Millis;
use crate::journal::{Batch, Entries, Journal};
use crate::s3::conditions::WriteCondition;
use crate::s3::object::{Object, Properties};

/// All buckets.
pub(super) struct Store {
    buckets: Mutex<Buckets>,
    journal: Arc<Journal>,
}

type Buckets = BTreeMap<String, Bucket>;

/// A bucket.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) created_at: Millis,
    pub(super) objects: BTreeMap<String, Arc<Object>>,
    /// Configurations as XML, by the name of their subresource. A policy is JSON.
    pub(super) settings: BTreeMap<String, Vec<u8>>,
}

const BUCKET: &str = "bucket";
const SETTING: &str = "setting";
const PROPERTIES: &str = "about";
const BODY: &str = "body";

/// Returns the key of a record. The slash is a safe separator, because bucket names cannot contain
/// it.
fn key(bucket: &str, rest: &str) -> String {
    format!("{bucket}/{rest}")
}

impl Store {
    /// Opens the buckets from the journal.
    pub(super) fn open(journal: Arc<Journal>, entries: &Entries) -> Result<Self, String> {
        Ok(Self { buckets: Mutex::new(load(entries)?), journal })
    }

    /// Runs `work` on the buckets, and records the batch that it fills.
    fn change<T>(&self, work: impl FnOnce(&mut Buckets, &mut Batch) -> T) -> T {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Batch::default();
        let outcome = work(&mut buckets, &mut batch);
        self.journal.record(batch);
        outcome
    }

    /// Reads a bucket.
    pub(super) fn read<T>(&self, bucket: &str, read: impl FnOnce(&Bucket) -> T) -> S3Result<T> {
        self.change(|buckets, _| get(buckets, bucket).map(|bucket| read(bucket)))
    }

    /// Returns the names of the buckets and their creation times.
    pub(super) fn buckets(&self) -> Vec<(String, Millis)> {
        self.change(|buckets, _| {
            let buckets = buckets.iter();
            buckets.map(|(name, b)| (name.clone(), b.created_at)).collect()
        })
    }

    pub(super) fn create_bucket(&self, name: &str, now: Millis) {
        self.change(|buckets, batch| {
            if !buckets.contains_key(name) {
                let bucket = Bucket { created_at: now, ..Bucket::default() };
                buckets.insert(name.to_owned(), bucket);
                batch.put(BUCKET, name, now.to_string().into_bytes());
            }
        });
    }

    pub(super) fn delete_bucket(&self, name: &str) -> S3Result<()> {
        self.change(|buckets, batch| {
            let bucket = get(buckets, name)?;
            if !bucket.objects.is_empty() {
                return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty: {name}"));
            }
            for setting in bucket.settings.keys() {
                batch.delete(SETTING, key(name, setting));
            }
            batch.delete(BUCKET, name);
            buckets.remove(name);
            Ok(())
        })
    }

    /// Sets one configuration of a bucket, or removes it.
    pub(super) fn set(&self, bucket: &str, name: &str, xml: Option<Vec<u8>>) -> S3Result<()> {
        self.change(|buckets, batch| {
            let settings = &mut get(buckets, bucket)?.settings;
            let key = key(bucket, name);
            match xml {
                Some(xml) => {
                    batch.put(SETTING, key, xml.clone());
                    settings.insert(name.to_owned(), xml);
                }
                None => {
                    batch.delete(SETTING, key);
                    settings.remove(name);
                }
            }
            Ok(())
        })
    }

    pub(super) fn object(&self, bucket: &str, name: &str) -> S3Result<Arc<Object>> {
        let object = self.read(bucket, |bucket| bucket.objects.get(name).cloned())?;
        object.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist: {name}"))
    }

    /// Puts an object if the condition holds.
    pub(super) fn put(&self, bucket: &str, name: &str, object: Object, condition: &WriteCondition) -> S3Result<()> {
        // Encoded before the lock is taken.
        let records = self.journal.is_durable().then(|| (encode(&object.properties), object.body.clone()));
        let object = Arc::new(object);
        self.change(|buckets, batch| {
            let objects = &mut get(buckets, bucket)?.objects;
            condition.check_put(objects.get(name).map(|object| &**object))?;
            objects.insert(name.to_owned(), object);
            if let Some((properties, body)) = records {
                batch.put(PROPERTIES, key(bucket, name), properties);
                batch.put(BODY, key(bucket, name), body);
            }
            Ok(())
        })
    }

    /// Deletes an object if it exists and the condition holds.
    pub(super) fn delete(&self, bucket: &str, name: &str, condition: &WriteCondition) -> S3Result<()> {
        self.change(|buckets, batch| {
            let objects = &mut get(buckets, bucket)?.objects;
            condition.check_delete(objects.get(name).map(|object| &**object))?;
            if objects.remove(name).is_some() {
                batch.delete(PROPERTIES, key(bucket, name));
                batch.delete(BODY, key(bucket, name));
            }
            Ok(())
        })
    }

    /// Replaces the tags of an object.
    pub(super) fn tag(&self, bucket: &str, name: &str, tags: Vec<(String, String)>) -> S3Result<()> {
        self.change(|buckets, batch| {
            let objects = &mut get(buckets, bucket)?.objects;
            let object = objects
                .get_mut(name)
                .ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist: {name}"))?;
            let properties = Properties { tags, ..object.properties.clone() };
            batch.put(PROPERTIES, key(bucket, name), encode(&properties));
            *object = Arc::new(Object { properties, body: object.body.clone() });
            Ok(())
        })
    }
}

fn get<'b>(buckets: &'b mut Buckets, name: &str) -> S3Result<&'b mut Bucket> {
    buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist: {name}"))
}

fn encode(properties: &Properties) -> Vec<u8> {
    // A plain structure with string keys always has a JSON form.
    serde_json::to_vec(properties).unwrap_or_default()
}

fn load(entries: &Entries) -> Result<Buckets, String> {
    let space = |space: &str| entries.get(space).into_iter().flatten();
    let mut buckets = Buckets::new();
    for (name, created_at) in space(BUCKET) {
        let created_at = std::str::from_utf8(created_at).ok();
        let bucket = Bucket {
            created_at: created_at.and_then(|text| text.parse().ok()).ok_or_else(|| corrupt(BUCKET, name))?,
            ..Bucket::default()
        };
        buckets.insert(name.clone(), bucket);
    }
    for (key, xml) in space(SETTING) {
        let (bucket, name) = locate(&mut buckets, SETTING, key)?;
        bucket.settings.insert(name, xml.clone());
    }
    let bodies = entries.get(BODY);
    for (key, properties) in space(PROPERTIES) {
        let (bucket, name) = locate(&mut buckets, PROPERTIES, key)?;
        let properties =
            serde_json::from_slice(properties).map_err(|error| format!("{}: {error}", corrupt(PROPERTIES, key)))?;
        let body = bodies.and_then(|bodies| bodies.get(key)).ok_or_else(|| corrupt(BODY, key))?;
        let body = Bytes::copy_from_slice(body);
        bucket.objects.insert(name, Arc::new(Object { properties, body }));
    }
    Ok(buckets)
}

/// Returns the bucket of a record's key, and the rest of the key.
fn locate<'b>(buckets: &'b mut Buckets, kind: &str, key: &str) -> Result<(&'b mut Bucket, String), String> {
    let (bucket, rest) = key.split_once('/').ok_or_else(|| corrupt(kind, key))?;
    let bucket = buckets.get_mut(bucket).ok_or_else(|| corrupt(kind, key))?;
    Ok((bucket, rest.to_owned()))
}

fn corrupt(kind: &str, key: &str) -> String {
    format!("the {kind} record {key:?} is invalid")
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::s3::object::etag;

    fn store() -> Store {
        let store = Store::open(Arc::new(Journal::in_memory()), &Entries::new()).expect("empty");
        store.create_bucket("bucket", 1);
        store
    }

    fn object(body: &str) -> Object {
        let properties = Properties { etag: etag(body.as_bytes()), ..Properties::default() };
        Object { properties, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn if_match(body: &str) -> WriteCondition {
        let condition = format!("\"{}\"", etag(body.as_bytes())).parse().ok();
        assert!(condition.is_some(), "a well-formed ETag");
        WriteCondition { if_match: condition, if_none_match: None }
    }

    fn code(outcome: S3Result<()>) -> String {
        outcome.map_or_else(|error| error.code().as_str().to_owned(), |()| "done".to_owned())
    }

    #[test]
    fn exactly_one_of_sixteen_concurrent_conditional_puts_succeeds() {
        let store = store();
        for round in 0..50 {
            let key = format!("race {round}");
            let barrier = Barrier::new(16);
            let winners: Vec<String> = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..16)
                    .map(|writer| {
                        let (store, key, barrier) = (&store, &key, &barrier);
                        scope.spawn(move || {
                            let body = format!("writer {writer}");
                            barrier.wait();
                            let put = store.put("bucket", key, object(&body), &WriteCondition::absent());
                            put.is_ok().then_some(body)
                        })
                    })
                    .collect();
                writers.into_iter().filter_map(|writer| writer.join().expect("no panic")).collect()
            });
            assert_eq!(winners.len(), 1, "round {round}");
            let stored = store.object("bucket", &key).expect("the object of the winner");
            assert_eq!(stored.body, winners[0].as_bytes());
        }
    }

    #[test]
    fn if_match_replaces_only_the_object_with_this_etag() {
        let store = store();
        let put = |body: &str, condition: &WriteCondition| code(store.put("bucket", "key", object(body), condition));
        assert_eq!(put("1", &if_match("1")), "NoSuchKey");
        assert_eq!(put("1", &WriteCondition::default()), "done");
        assert_eq!(put("2", &if_match("1")), "done");
        assert_eq!(put("3", &if_match("1")), "PreconditionFailed");
        assert_eq!(store.object("bucket", "key").expect("an object").body, "2");
    }

    #[test]
    fn if_match_deletes_only_the_object_with_this_etag() {
        let store = store();
        store.put("bucket", "key", object("1"), &WriteCondition::default()).expect("put");
        let delete = |condition: &WriteCondition| code(store.delete("bucket", "key", condition));
        assert_eq!(delete(&if_match("2")), "PreconditionFailed");
        assert!(store.object("bucket", "key").is_ok());
        assert_eq!(delete(&if_match("1")), "done");
        assert!(store.object("bucket", "key").is_err());
        assert_eq!(delete(&if_match("1")), "done", "deleting a missing object succeeds");
    }

    #[test]
    fn only_an_empty_bucket_can_be_deleted() {
        let store = store();
        store.put("bucket", "key", object("1"), &WriteCondition::default()).expect("put");
        assert_eq!(code(store.delete_bucket("bucket")), "BucketNotEmpty");
        store.delete("bucket", "key", &WriteCondition::default()).expect("deleted");
        assert_eq!(code(store.delete_bucket("bucket")), "done");
        assert_eq!(code(store.delete_bucket("bucket")), "NoSuchBucket");
    }
}
