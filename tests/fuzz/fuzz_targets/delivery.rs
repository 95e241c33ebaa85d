//! Any bytes as the body of a message: the first byte tells how often it was received, the rest is the body.

#![no_main]

#[path = "../../tests/decoders/properties.rs"]
#[expect(dead_code, reason = "each target asks for some of the properties")]
mod properties;

use cloakroom::Delivery;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((count, body)) = bytes.split_first() else { return };
    let body = String::from_utf8_lossy(body).into_owned();
    properties::received(&body);
    // "1", so that the corpus can be read, and all else.
    let receive_count = u32::from(count.wrapping_sub(b'0'));
    properties::delivery(&Delivery { body, receive_count, receipt: "r".to_owned(), ..Delivery::default() });
});
