//! Any bytes as an envelope.

#![no_main]

#[path = "../../tests/decoders/properties.rs"]
#[expect(dead_code, reason = "each target checks some of the properties")]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    properties::envelope(&String::from_utf8_lossy(bytes));
});
