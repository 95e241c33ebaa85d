use super::{AttributeValue::*, *};

fn text(text: &str) -> String {
    text.to_owned()
}

fn map<const N: usize>(entries: [(&str, AttributeValue); N]) -> AttributeValue {
    M(entries.map(|(name, value)| (text(name), value)).into())
}

/// Returns the text of the fault of a value in attribute `a`. Empty if there is no fault.
fn fault_text(value: AttributeValue) -> String {
    let item = Item::from(HashMap::from([(text("a"), value)]));
    check(&item).map_or_else(|fault| fault.to_string(), |()| String::new())
}

#[track_caller]
fn must_be_refused(value: AttributeValue, what: &str) {
    let fault_text = fault_text(value);
    assert!(fault_text.starts_with(what), "`{fault_text}` does not begin with `{what}`");
    assert!(fault_text.contains("; ") || fault_text.contains(": "), "`{fault_text}` has no advice what to do");
}

#[track_caller]
fn must_be_stored(value: AttributeValue) {
    assert_eq!(fault_text(value), "");
}

#[test]
fn number_within_the_range_of_dynamodb_is_stored() {
    let nines = "9".repeat(38);
    for digits in [
        "0",
        "-0",
        "0.000",
        "1",
        "-1.5",
        "+2",
        ".5",
        "5.",
        "007",
        "1e125",
        "9.9e125",
        "-9.9e125",
        "1E-130",
        "-1e-130",
        &nines,
        &format!("0.{nines}"),
        &format!("{nines}{}", "0".repeat(88)),
        &f64::EPSILON.to_string(),
        &format!("1{}", "0".repeat(125)),
        &u64::MAX.to_string(),
        &1e-100_f64.to_string(),
    ] {
        must_be_stored(N(text(digits)));
        must_be_stored(Ns(vec![text(digits)]));
    }
}

#[test]
fn number_out_of_the_range_of_dynamodb_is_refused() {
    for digits in ["1e126", "-1e126", "9.99e-131", "1e-131", &f64::MAX.to_string(), &f64::MIN_POSITIVE.to_string()] {
        must_be_refused(N(text(digits)), "a number ");
        assert!(
            fault_text(N(text(digits))).contains("at `a`, which no attribute can hold; numbers other than 0"),
            "{digits}"
        );
        must_be_refused(Ns(vec![text(digits)]), "a number ");
    }
    assert!(fault_text(N(text("-0.00012e999"))).starts_with("a number -1.2e995 at `a`"));
    must_be_refused(N("1".repeat(39)), "a number with more than 38 significant digits at `a`");
    must_be_refused(N(format!("1.{}1", "0".repeat(37))), "a number with more than 38 significant digits at `a`");
    must_be_refused(N(u128::MAX.to_string()), "a number with more than 38 significant digits at `a`");
    for digits in
        ["", "NaN", "inf", "-inf", "1_000", " 5", "1e", "1e1.5", ".", "-", "--1", "1.2.3", "0x1", "1e99999999999"]
    {
        must_be_refused(N(text(digits)), &format!("a number `{digits}` at `a`, which no attribute can hold"));
    }
}

#[test]
fn set_that_is_empty_or_has_a_duplicate_member_is_refused() {
    for empty in [Ss(vec![]), Ns(vec![]), Bs(vec![])] {
        must_be_refused(empty, "an empty set at `a`, which DynamoDB does not store");
    }
    let twice = "a set with a duplicate member at `a`";
    must_be_refused(Ss(vec![text("x"), text("y"), text("x")]), twice);
    must_be_refused(Bs(vec![vec![1], vec![1]]), twice);
    for (one, same) in [("1", "1.0"), ("10", "1e1"), ("0", "-0"), ("0.5", ".50"), ("-7", "-07")] {
        must_be_refused(Ns(vec![text(one), text(same)]), twice);
    }
    must_be_stored(Ns(vec![text("1"), text("-1"), text("10"), text("0.1")]));
    must_be_stored(Ss(vec![text(""), text("a"), text("A")]));
    must_be_stored(Bs(vec![vec![], vec![0]]));
}

#[test]
fn empty_text_list_map_and_bytes_are_stored() {
    for value in [S(String::new()), L(vec![]), map([]), B(vec![]), Null(true), Bool(false)] {
        must_be_stored(value);
    }
    must_be_refused(Null(false), "a null with the value `false` at `a`");
}

#[test]
fn name_of_an_attribute_has_1_to_65535_bytes() {
    must_be_refused(map([("", Null(true))]), "an attribute without a name at `a.\"\"`");
    let top = Item::from(HashMap::from([(String::new(), Null(true))]));
    assert!(check(&top).expect_err("refused").to_string().starts_with("an attribute without a name at `\"\"`"));
    must_be_stored(map([("n".repeat(65_535).as_str(), Null(true))]));
    let fault = fault_text(map([("n".repeat(65_536).as_str(), Null(true))]));
    assert!(fault.starts_with("an attribute name that is too long at `a.nnn") && fault.len() < 300, "{fault}");
}

fn nested(wraps: usize, list: bool) -> AttributeValue {
    (0..wraps).fold(Bool(true), |inner, _| if list { L(vec![inner]) } else { map([("n", inner)]) })
}

#[test]
fn value_at_level_33_is_refused() {
    for list in [false, true] {
        must_be_stored(nested(31, list));
        must_be_refused(nested(32, list), "more than 32 levels of lists and maps at `a");
        must_be_refused(nested(1_000, list), "more than 32 levels of lists and maps at `a");
    }
}

#[test]
fn fault_is_named_by_the_path_that_sorts_first() {
    let line = |set| map([("tags", Ss(set)), ("text", S(String::new()))]);
    let lines = L(vec![line(vec![text("x")]), line(vec![])]);
    assert!(fault_text(lines.clone()).starts_with("an empty set at `a[1].tags`,"), "{}", fault_text(lines.clone()));
    assert!(fault_text(L(vec![lines])).starts_with("an empty set at `a[0][1].tags`,"));
    for _ in 0..20 {
        let many = map([("c", N(text("NaN"))), ("b", map([("y", Ss(vec![])), ("x", Null(false))])), ("d", Ss(vec![]))]);
        assert!(fault_text(many).starts_with("a null with the value `false` at `a.b.x`"));
    }
}
