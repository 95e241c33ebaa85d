//! The W3C trace context in envelopes.

/// `traceparent` and `tracestate`.
pub(crate) type Context = (Option<String>, Option<String>);

/// The W3C `traceparent`: the trace, the span that sent the message, and whether the trace is
/// recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traceparent {
    pub(crate) trace: u128,
    pub(crate) span: u64,
    pub(crate) flags: u8,
}

impl Traceparent {
    /// Parses a `traceparent`. `None` if it is malformed, which is not an error of the message.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let mut hex = |length: usize| {
            let is_hex = |part: &&str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            parts.next().filter(|part| part.len() == length).filter(is_hex)
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // Later versions may have further fields.
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
    fn traceparent_is_parsed_as_w3c_specifies() {
        let read = |text: &str| Traceparent::read(text);
        let expected =
            Traceparent { trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, span: 0xb7ad_6b71_6920_3331, flags: 1 };
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-01")), Some(expected));
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-00")), Some(Traceparent { flags: 0, ..expected }));
        assert_eq!(read(&format!("01-{TRACE}-{SPAN}-01-more")), Some(expected), "a later version");
    }

    #[test]
    fn malformed_traceparent_is_ignored() {
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
