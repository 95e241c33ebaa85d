//! Checks of every method of every port, including methods that are added later.

/// The source files that declare ports.
const PORTS: [&str; 4] = [
    include_str!("../partition_store.rs"),
    include_str!("../payload_store.rs"),
    include_str!("../queue.rs"),
    include_str!("../records.rs"),
];

/// If a method had a default body, the compiler would not require it in
/// [`Bounded`](super::Bounded). A call would then run the default body instead of the method of the
/// bounded port.
#[test]
fn async_port_methods_have_no_default_body() {
    let mut calls = 0;
    for source in PORTS {
        for (at, _) in source.match_indices("\n    async fn ") {
            let declaration = &source[at..];
            let end = declaration.find([';', '{']).expect("a declaration ends");
            assert_eq!(declaration[end..].chars().next(), Some(';'), "{}", &declaration[..end]);
            calls += 1;
        }
    }
    assert_eq!(calls, 21, "every method must be checked");
}
