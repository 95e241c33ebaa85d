//! Errors print as messages, and no text in a chain of errors is repeated.

use std::{error::Error as StdError, fmt, io};

use cloakroom::{
    Endpoint, EndpointSettings, Error, Handled, PortError, Tx,
    engine::NotFinished,
    error::LimitError,
    format::{Envelope, Record},
    memory::Memory,
    ports::Placement,
    protocol::CheckIn,
};

/// Returns the texts of an error and of all its sources.
fn chain(error: &(dyn StdError + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect()
}

/// Requires that no text is repeated, and that `Debug` prints only the message.
#[track_caller]
fn must_read_well(error: &(dyn StdError + 'static)) {
    let texts = chain(error);
    for (number, text) in texts.iter().enumerate() {
        assert!(texts[..number].iter().all(|earlier| !earlier.contains(text.as_str())), "repeated: {texts:?}");
    }
    let debug = format!("{error:?}");
    assert!(debug.starts_with(&texts[0]), "`{debug}` is not the message `{}`", texts[0]);
    for mark in ["{", "}", "Some(", "None", "InLogs"] {
        assert!(texts[0].contains(mark) || !debug.contains(mark), "`{debug}` shows its fields");
    }
}

/// An error whose text does not contain its source.
#[derive(Debug)]
struct Outer(io::Error);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection broke")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

fn port_error() -> PortError {
    PortError::new("GetItem on table `orders`", Outer(io::Error::other("reset by peer")))
}

#[test]
fn chain_of_errors_repeats_no_text() {
    let nested = PortError::new("reading the state", port_error());
    let texts = [
        "reading the state failed: GetItem on table `orders` failed: the connection broke (it may have taken \
                  effect) (it may have taken effect)",
        "reset by peer",
    ];
    assert_eq!(chain(&nested), texts, "the innermost source must be in the chain");
    must_read_well(&port_error());
    must_read_well(&nested);
    must_read_well(&PortError::new("send to queue `q`", "access denied").without_effect().permanent().public());
    must_read_well(&Error::from(nested));
    must_read_well(&NotFinished::Failed(Error::from(port_error())));
    must_read_well(&NotFinished::Behind);
    must_read_well(&LimitError { what: "item `a`".to_owned(), size: 3, size_max: 2, unit: "bytes" });
    must_read_well(&Envelope::decode("{").expect_err("half an envelope"));
    must_read_well(&Record::decode("{").expect_err("half a record"));
}

#[test]
fn error_that_main_returns_is_printed_as_a_message() {
    let error: Box<dyn StdError> = Error::from(port_error().without_effect()).into();
    let printed = "GetItem on table `orders` failed: the connection broke [await_service]";
    assert_eq!(format!("Error: {error:?}"), format!("Error: {printed}"));
}

#[test]
fn cause_of_a_port_error_can_be_identified_by_its_type() {
    let cause: &(dyn StdError + 'static) = &PortError::new("a", port_error());
    assert!(cause.source().is_some_and(|source| source.is::<io::Error>()));
    let error = port_error();
    let cause: &(dyn StdError + 'static) = error.cause();
    assert!(cause.is::<Outer>());
}

async fn ping(_: &mut std::collections::BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled {
    Ok(())
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

impl cloakroom::Message for Ping {
    const TYPE: &'static str = "ping";
    fn partition(&self) -> cloakroom::Partition {
        "p".into()
    }
}

#[test]
fn embedded_records_with_check_in_after_the_commit_are_refused() {
    let build = |placement, check_in| {
        let settings = EndpointSettings { placement, check_in, ..EndpointSettings::default() };
        Endpoint::builder("pings").on(ping).settings(settings).build(Memory::new().ports())
    };
    let error = build(Placement::Embedded, CheckIn::AfterCommit).expect_err("the two settings contradict each other");
    for part in ["`placement` is `embedded`", "`check_in` is `after_commit`", "set `check_in` to `before_commit`"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    for (placement, check_in) in [
        (Placement::Embedded, CheckIn::BeforeCommit),
        (Placement::Separate, CheckIn::BeforeCommit),
        (Placement::Separate, CheckIn::AfterCommit),
    ] {
        assert!(build(placement, check_in).is_ok(), "{placement:?} {check_in:?}");
    }
}
