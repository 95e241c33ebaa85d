//! Any bytes as the settings of an endpoint, of a worker, and of their parts.

#![no_main]

#[path = "../../tests/decoders/properties.rs"]
#[expect(dead_code, reason = "each target checks some of the properties")]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::settings(&String::from_utf8_lossy(bytes)));
