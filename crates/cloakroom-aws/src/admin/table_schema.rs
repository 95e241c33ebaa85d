//! The schemas of the tables, for provisioning and diagnosis.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
};
use cloakroom::format::schema::{attribute, payload_attribute};

use crate::{
    aws::Aws,
    dynamodb::{self},
};

type Key = (&'static str, KeyType, ScalarAttributeType);

const KEYS: &[Key] = &[
    (attribute::PARTITION, KeyType::Hash, ScalarAttributeType::S),
    (attribute::SORT, KeyType::Range, ScalarAttributeType::S),
];
const PAYLOAD_KEYS: &[Key] = &[(payload_attribute::KEY, KeyType::Hash, ScalarAttributeType::B)];

/// The schema of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableSchema<'a> {
    pub(crate) name: &'a str,
    keys: &'static [Key],
    /// The keys, as text.
    pub(crate) keys_text: &'static str,
    /// The attribute by which items expire.
    pub(crate) expires: &'static str,
    /// Whether point-in-time recovery is useful. An earlier state of a payload table would have
    /// payloads of processed messages, and lack payloads of messages in flight.
    pub(crate) can_be_restored: bool,
}

impl TableSchema<'_> {
    pub(crate) fn target(&self) -> String {
        dynamodb::target(self.name)
    }

    /// Returns the keys for a new table.
    pub(crate) fn key_schema(&self) -> (Vec<AttributeDefinition>, Vec<KeySchemaElement>) {
        let complete = "name and type are set";
        let each = self.keys.iter().cloned().map(|(name, role, kind)| {
            let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
            let key = KeySchemaElement::builder().attribute_name(name).key_type(role).build();
            (definition.expect(complete), key.expect(complete))
        });
        each.unzip()
    }

    /// Returns the names of a table's keys if they are not those of the schema.
    pub(crate) fn other_keys(&self, table: &TableDescription) -> Option<String> {
        let keys = table.key_schema().iter().map(|key| (key.attribute_name(), key.key_type()));
        let kind = |name: &str| {
            let mut definitions = table.attribute_definitions().iter();
            definitions.find(|one| one.attribute_name() == name).map(AttributeDefinition::attribute_type)
        };
        let wanted = self.keys.iter().map(|(name, role, _)| (*name, role));
        if keys.eq(wanted) && self.keys.iter().all(|(name, _, wanted)| kind(name) == Some(wanted)) {
            return None;
        }
        let keys: Vec<&str> = table.key_schema().iter().map(KeySchemaElement::attribute_name).collect();
        Some(keys.join(", "))
    }
}

/// Whether a table in this status can be used.
pub(crate) const fn is_usable(status: Option<&TableStatus>) -> bool {
    matches!(status, Some(TableStatus::Active | TableStatus::Updating))
}

impl Aws {
    /// The schema of the table for states and records.
    pub(crate) fn table_schema(&self) -> TableSchema<'_> {
        TableSchema {
            name: &self.settings.table,
            keys: KEYS,
            keys_text: "the strings `pk` (partition key) and `sk` (sort key)",
            expires: attribute::EXPIRES,
            can_be_restored: true,
        }
    }

    /// The schema of the table for small payloads, if one is set.
    pub(crate) fn payload_table_schema(&self) -> Option<TableSchema<'_>> {
        self.settings.payload_table.as_deref().map(|name| TableSchema {
            name,
            keys: PAYLOAD_KEYS,
            keys_text: "the bytes `k` (partition key, and no sort key)",
            expires: payload_attribute::EXPIRES,
            can_be_restored: false,
        })
    }

    /// The schemas of all tables.
    pub(crate) fn table_schemas(&self) -> impl Iterator<Item = TableSchema<'_>> {
        std::iter::once(self.table_schema()).chain(self.payload_table_schema())
    }
}
