//! Checksums of objects. Those that the client sent are verified, and all are stored.

use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, ChecksumAlgorithm, PutObjectInput};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

/// The checksums of an object in base64, by algorithm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksums {
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
}

impl Checksums {
    /// Returns the checksums in the client's headers.
    pub(super) fn sent(input: &PutObjectInput) -> Self {
        Self {
            crc32: input.checksum_crc32.clone(),
            crc32c: input.checksum_crc32c.clone(),
            crc64nvme: input.checksum_crc64nvme.clone(),
            sha1: input.checksum_sha1.clone(),
            sha256: input.checksum_sha256.clone(),
        }
    }

    /// Adds the checksums in the client's trailing headers.
    pub(super) fn add_trailers(&mut self, trailers: &HeaderMap) {
        for (field, name) in [
            (&mut self.crc32, "x-amz-checksum-crc32"),
            (&mut self.crc32c, "x-amz-checksum-crc32c"),
            (&mut self.crc64nvme, "x-amz-checksum-crc64nvme"),
            (&mut self.sha1, "x-amz-checksum-sha1"),
            (&mut self.sha256, "x-amz-checksum-sha256"),
        ] {
            if let Some(value) = trailers.get(name).and_then(|value| value.to_str().ok()) {
                *field = Some(value.to_owned());
            }
        }
    }

    /// Computes the checksums that the client sent or requested, and compares them. If there are
    /// none, it computes CRC64NVME, as S3 does.
    pub(super) fn verify(self, asked: Option<&ChecksumAlgorithm>, body: &[u8]) -> S3Result<Self> {
        let asked = asked.map(ChecksumAlgorithm::as_str);
        let is_default = self == Self::default() && asked.is_none();
        let wants = |sent: &Option<String>, name| sent.is_some() || asked == Some(name);
        let mut hasher = ChecksumHasher {
            crc32: wants(&self.crc32, "CRC32").then(Default::default),
            crc32c: wants(&self.crc32c, "CRC32C").then(Default::default),
            crc64nvme: (is_default || wants(&self.crc64nvme, "CRC64NVME")).then(Default::default),
            sha1: wants(&self.sha1, "SHA1").then(Default::default),
            sha256: wants(&self.sha256, "SHA256").then(Default::default),
        };
        hasher.update(body);
        let computed = Self::from(hasher.finalize());
        for (sent, computed) in self.each().into_iter().zip(computed.each()) {
            if let (Some(sent), Some(computed)) = (sent, computed)
                && sent != computed
            {
                return Err(s3_error!(
                    BadDigest,
                    "The checksum you specified ({sent}) did not match the calculated \
                     checksum ({computed})."
                ));
            }
        }
        Ok(computed)
    }

    fn each(&self) -> [Option<&String>; 5] {
        let Self { crc32, crc32c, crc64nvme, sha1, sha256 } = self;
        [crc32, crc32c, crc64nvme, sha1, sha256].map(Option::as_ref)
    }
}

impl From<Checksum> for Checksums {
    fn from(sums: Checksum) -> Self {
        Self {
            crc32: sums.checksum_crc32,
            crc32c: sums.checksum_crc32c,
            crc64nvme: sums.checksum_crc64nvme,
            sha1: sums.checksum_sha1,
            sha256: sums.checksum_sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_checksum_is_rejected() {
        let sent = Checksums { crc32: Some("AAAAAA==".into()), ..Checksums::default() };
        let error = sent.verify(None, b"hello").expect_err("wrong");
        assert_eq!(error.code().as_str(), "BadDigest");
    }

    #[test]
    fn crc64nvme_is_the_default_checksum() {
        let sums = Checksums::default().verify(None, b"hello").expect("no checksum was sent");
        assert!(sums.crc64nvme.is_some() && sums.sha256.is_none());
        let sha = ChecksumAlgorithm::from_static(ChecksumAlgorithm::SHA256);
        let sums = Checksums::default().verify(Some(&sha), b"hello").expect("no checksum was sent");
        let sha256 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
        assert_eq!(sums.sha256.as_deref(), Some(sha256));
        assert!(sums.crc64nvme.is_none());
    }
}
