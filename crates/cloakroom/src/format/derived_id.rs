//! Ids that are derived from the names of the things that they identify.

use std::fmt::Write as _;

use uuid::Uuid;

/// The name space of ids that are derived from other ids. Changing it changes every derived id.
const NAMESPACE: Uuid = Uuid::from_u128(0x5d1f_7a3c_0e42_4b86_9a57_c10a_6b00_4d01);

/// Returns an id that depends only on `parts`.
pub fn derived_id(parts: &[&str]) -> Uuid {
    // Without the length before each part, ("a", "bc") and ("ab", "c") would have the same id.
    let text = parts.iter().fold(String::with_capacity(256), |mut text, part| {
        write!(text, "{}:{part}", part.len()).expect("writing to a string does not fail");
        text
    });
    Uuid::new_v5(&NAMESPACE, text.as_bytes())
}
