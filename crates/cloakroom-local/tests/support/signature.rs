//! AWS Signature Version 4, for S3.

use std::time::SystemTime;

use s3s::crypto::{Checksum as _, Sha256};
use s3s::dto::{Timestamp, TimestampFormat};

/// Returns the current time in the format of signatures: `20260131T235959Z`.
#[allow(clippy::disallowed_methods, reason = "S3 checks that a signature is fresh")]
fn time() -> String {
    let mut text = Vec::new();
    let now = Timestamp::from(SystemTime::now());
    now.format(TimestampFormat::DateTime, &mut text).expect("a time that can be formatted");
    let text = String::from_utf8(text).expect("ASCII").replace(['-', ':'], "");
    let (seconds, _) = text.split_once('.').expect("fractions of seconds");
    format!("{seconds}Z")
}

/// Returns the canonical form of a query: each parameter with its value, which may be empty.
fn canonical(query: &str) -> String {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let with_value = parameters
        .map(|parameter| if parameter.contains('=') { parameter.to_owned() } else { format!("{parameter}=") });
    with_value.collect::<Vec<_>>().join("&")
}

/// Returns the headers that sign a request with the default credentials. The parameters of the
/// query must be sorted by name.
pub(super) fn sign(host: &str, method: &str, path: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    let time = time();
    let scope = format!("{}/us-east-1/s3/aws4_request", &time[..8]);
    let payload = hex(&Sha256::checksum(body));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = canonical(query);
    let canonical = format!(
        "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{time}\n\n\
         host;x-amz-content-sha256;x-amz-date\n{payload}"
    );
    let request = hex(&Sha256::checksum(canonical.as_bytes()));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{request}");
    let key = ["us-east-1", "s3", "aws4_request"]
        .iter()
        .fold(hmac(b"AWS4SECRETTEST", &time.as_bytes()[..8]), |key, part| hmac(&key, part.as_bytes()));
    let signature = hex(&hmac(&key, to_sign.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDTEST/{scope}, \
         SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
    );
    vec![("x-amz-date", time), ("x-amz-content-sha256", payload), ("authorization", authorization)]
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // Keys are at most as long as a block here.
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner: Vec<u8> = block.iter().map(|byte| byte ^ 0x36).chain(message.iter().copied()).collect();
    let inner = Sha256::checksum(&inner);
    let outer: Vec<u8> = block.iter().map(|byte| byte ^ 0x5c).chain(inner.iter().copied()).collect();
    Sha256::checksum(&outer).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
