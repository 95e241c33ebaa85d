//! Any bytes as a record. A JSON object `{"state": {..}, "record": {..}}` is also used as the items
//! of a partition.

#![no_main]

#[path = "../../tests/decoders/properties.rs"]
#[expect(dead_code, reason = "each target checks some of the properties")]
mod properties;

#[derive(serde::Deserialize)]
struct Stored {
    state: Option<serde_json::Map<String, serde_json::Value>>,
    record: Option<serde_json::Map<String, serde_json::Value>>,
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    properties::record(&text);
    let Ok(Stored { state, record }) = serde_json::from_str(&text) else { return };
    let item = |attributes| serde_dynamo::to_item::<_, cloakroom::format::Item>(attributes).ok();
    let (state, record) = (state.and_then(item), record.and_then(item));
    if let Some(state) = &state {
        properties::state_item(state.clone());
    }
    properties::stored(state, record);
});
