//! The trace context of W3C, as envelopes carry it.

/// `traceparent` and `tracestate`.
pub(crate) type Context = (Option<String>, Option<String>);

/// The `traceparent` of W3C: who sent a message, in which trace, and whether that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traceparent {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    pub(crate) flags: u8,
}

impl Traceparent {
    /// None if it is malformed; a message is not to blame for that.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let mut hex = |length: usize| {
            let is_hex = |part: &&str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            parts.next().filter(|part| part.len() == length).filter(is_hex)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // Later versions may have more to say than this one.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let read = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (read.trace != 0 && read.span != 0).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn a_traceparent_is_read_as_w3c_has_it() {
        let read = |text: &str| Traceparent::read(text);
        let expected =
            Traceparent { trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span: 0xb7ad_6b71_6920_3331, flags: 1 };
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-01")), Some(expected));
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-00")), Some(Traceparent { flags: 0, ..expected }));
        assert_eq!(read(&format!("01-{TRACE}-{SPAN}-01-more")), Some(expected), "a later version");
    }

    #[test]
    fn what_is_malformed_is_ignored() {
        for text in [
            "",
            "-",
            "00",
            &format!("00-{TRACE}-{SPAN}"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-+{}-{SPAN}-01", &TRACE[1..]),
            &format!("00-{TRACE}{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-{TRACE}-{SPAN}-ü"),
        ] {
            assert_eq!(Traceparent::read(text), None, "{text}");
        }
    }
}
