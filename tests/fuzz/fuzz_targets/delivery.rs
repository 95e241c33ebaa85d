//! Any bytes as a delivery. The first byte is the receive count, and the rest is the body.

#![no_main]

#[path = "../../tests/decoders/properties.rs"]
#[expect(dead_code, reason = "each target checks some of the properties")]
mod properties;

use cloakroom::Delivery;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((count, body)) = bytes.split_first() else { return };
    let body = String::from_utf8_lossy(body).into_owned();
    properties::received(&body);
    // The byte `1` stands for a receive count of 1, so that the corpus is readable text.
    let receive_count = u32::from(count.wrapping_sub(b'0'));
    properties::delivery(&Delivery { body, receive_count, receipt: "r".to_owned(), ..Delivery::default() });
});
