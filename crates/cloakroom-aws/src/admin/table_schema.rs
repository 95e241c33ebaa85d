//! What tables must be like, for those who make them and those who judge them.

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

/// What a table must be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableForm<'a> {
    pub(crate) name: &'a str,
    keys: &'static [Key],
    /// The keys, in words.
    pub(crate) keys_told: &'static str,
    /// The attribute by which items expire.
    pub(crate) expires: &'static str,
    /// Whether the table as it was at an earlier second can be of use. With payloads it would bring back those of processed messages, and
    /// lack those of waiting ones.
    pub(crate) can_be_restored: bool,
}

impl TableForm<'_> {
    pub(crate) fn target(&self) -> String {
        dynamodb::target(self.name)
    }

    /// The keys, for a table that is to be made.
    pub(crate) fn key_schema(&self) -> (Vec<AttributeDefinition>, Vec<KeySchemaElement>) {
        let complete = "name and type are set";
        let each = self.keys.iter().cloned().map(|(name, role, kind)| {
            let definition = AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
            let key = KeySchemaElement::builder().attribute_name(name).key_type(role).build();
            (definition.expect(complete), key.expect(complete))
        });
        each.unzip()
    }

    /// The names of a table's keys, if they are not those that Cloakroom writes.
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
    /// The table of states and records.
    pub(crate) fn table_form(&self) -> TableForm<'_> {
        TableForm {
            name: &self.settings.table,
            keys: KEYS,
            keys_told: "the texts `pk` (partition key) and `sk` (sort key)",
            expires: attribute::EXPIRES,
            can_be_restored: true,
        }
    }

    /// The table of small payloads, if there is to be one.
    pub(crate) fn payload_table_form(&self) -> Option<TableForm<'_>> {
        self.settings.payload_table.as_deref().map(|name| TableForm {
            name,
            keys: PAYLOAD_KEYS,
            keys_told: "the bytes `k` (partition key, and no sort key)",
            expires: payload_attribute::EXPIRES,
            can_be_restored: false,
        })
    }

    /// All tables.
    pub(crate) fn table_forms(&self) -> impl Iterator<Item = TableForm<'_>> {
        std::iter::once(self.table_form()).chain(self.payload_table_form())
    }
}
