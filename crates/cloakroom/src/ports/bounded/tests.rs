//! What holds for every method of every port, also for methods to come.

/// The sources in which ports are declared.
const PORTS: [&str; 4] = [
    include_str!("../partition_store.rs"),
    include_str!("../payload_store.rs"),
    include_str!("../queue.rs"),
    include_str!("../records.rs"),
];

/// A method with a body of its own would not have to be written for [`Bounded`](super::Bounded): it would be called
/// there as it is, and the port's own version would be passed over.
#[test]
fn no_call_of_a_port_has_a_default() {
    let mut calls = 0;
    for source in PORTS {
        for (at, _) in source.match_indices("\n    async fn ") {
            let declaration = &source[at..];
            let end = declaration.find([';', '{']).expect("a declaration ends");
            assert_eq!(declaration[end..].chars().next(), Some(';'), "{}", &declaration[..end]);
            calls += 1;
        }
    }
    assert_eq!(calls, 21, "all of them were looked at");
}
