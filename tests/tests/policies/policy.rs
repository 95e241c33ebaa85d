//! The policies against the calls. A policy allows exactly the actions that its role's calls need.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    calls::{called_by, calls, is_in},
    roles::{ACTIONS, CallsOf, FOR_AWS_SERVICES, ROLES, Role, WITHOUT_ROLE},
    template::{Template, names},
    text,
};

const KEY: (&str, &str) = ("KmsKeyArn", "arn:aws:kms:us-east-1:000000000000:key/k");

/// The statements of a policy that allow something.
fn statements(document: &Value) -> Vec<&Value> {
    let statements = document["Statement"].as_array().expect("statements");
    statements.iter().filter(|statement| statement["Effect"] == "Allow").collect()
}

fn texts(value: &Value) -> Vec<String> {
    let one = std::slice::from_ref(value);
    let all = value.as_array().map_or(one, Vec::as_slice);
    all.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

/// Returns the actions that a policy allows.
fn allowed(document: &Value) -> BTreeSet<String> {
    statements(document).into_iter().flat_map(|statement| texts(&statement["Action"])).collect()
}

/// The policies of `infra/roles.yaml`, with a key for the payloads.
fn policies() -> BTreeMap<String, Value> {
    let template = Template::read("roles.yaml", &[("Application", "shop"), KEY]);
    let policies = template.of_type("AWS::IAM::ManagedPolicy").into_iter();
    policies.map(|(name, properties)| (name, properties["PolicyDocument"].clone())).collect()
}

fn actions_of(operation: &str) -> &'static [&'static str] {
    let known = ACTIONS.iter().find(|(name, _)| *name == operation);
    known
        .unwrap_or_else(|| panic!("`{operation}` is called but not in ACTIONS: add it with the actions that it needs"))
        .1
}

/// Returns the operations that a role calls, each with the module that calls it.
pub(crate) fn operations(role: &Role) -> BTreeMap<String, &'static str> {
    let each = role.calls.iter().flat_map(|calls_of| match calls_of {
        CallsOf::All(module) => called_by(module).into_iter().map(|name| (name, *module)).collect::<Vec<_>>(),
        CallsOf::Some(place, names) => names.iter().map(|&name| (name.to_owned(), *place)).collect(),
    });
    each.collect()
}

/// Returns the actions that a role needs, each with the operation and module that need it.
fn needed(role: &Role) -> BTreeMap<String, String> {
    let each = |(operation, place): (String, &str)| {
        let actions = actions_of(&operation).iter();
        actions.map(|&action| (action.to_owned(), format!("{operation} in {place}"))).collect::<Vec<_>>()
    };
    operations(role).into_iter().flat_map(each).collect()
}

/// Returns the actions that a policy lacks, and those that it allows although no call needs them.
fn differences(policy: &str, allowed: &BTreeSet<String>, needed: &BTreeMap<String, String>) -> Vec<String> {
    let lacking = needed.iter().filter(|(action, _)| !allowed.contains(*action));
    let lacking = lacking.map(|(action, why)| format!("{policy} lacks {action}, which is needed for {why}"));
    let idle = allowed.iter().filter(|action| !needed.contains_key(*action));
    lacking.chain(idle.map(|action| format!("{policy} allows {action}, which nothing calls"))).collect()
}

fn is_of_a_role(file: &str) -> bool {
    !WITHOUT_ROLE.iter().any(|(module, _)| is_in(file, module))
}

/// Whether a role is declared to call this operation in this file.
fn makes_call(role: &Role, operation: &str, file: &str) -> bool {
    role.calls.iter().any(|calls_of| match calls_of {
        CallsOf::All(module) => is_in(file, module),
        CallsOf::Some(module, names) => is_in(file, module) && names.contains(&operation),
    })
}

#[test]
fn every_call_belongs_to_a_role() {
    let of_a_role = calls().iter().filter(|(file, _)| is_of_a_role(file));
    let each = of_a_role.flat_map(|(file, operations)| operations.iter().map(move |operation| (operation, file)));
    let unclaimed = each.filter(|(operation, file)| !ROLES.iter().any(|role| makes_call(role, operation, file)));
    let unclaimed: Vec<String> = unclaimed.map(|(operation, file)| format!("{operation} in {file}")).collect();
    assert!(unclaimed.is_empty(), "no role in ROLES has these calls: {unclaimed:#?}");
}

#[test]
fn every_call_that_a_role_declares_exists() {
    let stale = ROLES.iter().flat_map(|role| role.calls).flat_map(|calls_of| match calls_of {
        CallsOf::All(module) if called_by(module).is_empty() => vec![format!("{module} calls nothing")],
        CallsOf::All(_) => Vec::new(),
        CallsOf::Some(module, names) => {
            let called = called_by(module);
            let stale = names.iter().filter(|name| !called.contains(**name));
            stale.map(|name| format!("{module} does not call {name}")).collect()
        }
    });
    let idle = WITHOUT_ROLE.iter().filter(|(module, _)| called_by(module).is_empty());
    let stale: Vec<String> = stale.chain(idle.map(|(module, _)| format!("{module} calls nothing"))).collect();
    assert!(stale.is_empty(), "{stale:#?}");
}

#[test]
fn policies_allow_exactly_the_called_operations() {
    let policies = policies();
    let names: BTreeSet<&str> = ROLES.iter().map(|role| role.policy).collect();
    assert_eq!(
        policies.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        names,
        "the policies are not those of the roles in ROLES"
    );
    let differences = ROLES
        .iter()
        .flat_map(|role| differences(role.policy, &allowed(&policies[role.policy]), &needed(role)).into_iter());
    let differences: Vec<String> = differences.collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The check finds every action that is removed from a policy, and an action that is added.
#[test]
fn missing_or_superfluous_action_is_named() {
    let policies = policies();
    for role in ROLES {
        let needed = needed(role);
        let allowed = allowed(&policies[role.policy]);
        for action in &allowed {
            let mut fewer = allowed.clone();
            fewer.remove(action);
            let found = differences(role.policy, &fewer, &needed);
            assert!(matches!(&found[..], [one] if one.contains(&format!("lacks {action}, "))), "{found:?}");
        }
        let mut more = allowed.clone();
        more.insert("dynamodb:DeleteTable".to_owned());
        let found = differences(role.policy, &more, &needed);
        assert_eq!(found, [format!("{} allows dynamodb:DeleteTable, which nothing calls", role.policy)]);
    }
}

/// Every action is allowed only on resources of the application, and only on the kind of resource
/// that it applies to.
#[test]
fn actions_are_allowed_only_on_resources_of_the_application() {
    for (policy, document) in policies() {
        for statement in statements(&document) {
            for (action, resource) in pairs(&texts(&statement["Action"]), &texts(&statement["Resource"])) {
                let (service, verb) = action.split_once(':').expect("a service and its action");
                let parts: Vec<&str> = resource.splitn(6, ':').collect();
                let name = parts.last().copied().unwrap_or_default();
                let is_ours = ["table/shop", "shop-", "key/"].iter().any(|start| name.starts_with(start));
                let is_applicable =
                    parts[2] == service && name.ends_with("/*") == (service == "s3" && verb.ends_with("Object"));
                assert!(is_ours && is_applicable && !verb.contains('*'), "{policy}: {action} on {resource}");
            }
        }
    }
}

fn pairs(one: &[String], other: &[String]) -> Vec<(String, String)> {
    one.iter().flat_map(|one| other.iter().map(move |other| (one.clone(), other.clone()))).collect()
}

/// Without a KMS key of the application, no policy allows KMS actions.
#[test]
fn policies_without_a_kms_key_allow_no_kms_actions() {
    let template = Template::read("roles.yaml", &[("Application", "shop")]);
    for (policy, properties) in template.of_type("AWS::IAM::ManagedPolicy") {
        let allowed = allowed(&properties["PolicyDocument"]);
        assert!(!allowed.iter().any(|action| action.starts_with("kms:")), "{policy}: {allowed:?}");
    }
}

#[test]
fn other_templates_allow_only_what_aws_services_need() {
    let mut found = Vec::new();
    for name in names() {
        let template = Template::read(&name, &[("Application", "shop")]);
        for (resource, properties) in template.of_type("AWS::IAM::Role") {
            let policies = properties["Policies"].as_array().into_iter().flatten();
            let allowed: BTreeSet<_> = policies.flat_map(|policy| allowed(&policy["PolicyDocument"])).collect();
            if !allowed.is_empty() {
                found.push((name.clone(), resource, allowed));
            }
        }
        assert!(name == "roles.yaml" || template.of_type("AWS::IAM::ManagedPolicy").is_empty(), "{name}");
    }
    let expected = FOR_AWS_SERVICES.iter().map(|(name, resource, actions)| {
        ((*name).to_owned(), (*resource).to_owned(), actions.iter().map(|&action| action.to_owned()).collect())
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
}

/// Returns the actions that a text mentions, such as `sqs:SendMessage`.
fn actions_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
    let is_action = |word: &&str| ["dynamodb:", "s3:", "sqs:"].iter().any(|service| word.starts_with(service));
    words.filter(is_action).map(str::to_owned).collect()
}

/// Returns the operations that a source text declares for its errors, each with the permissions
/// that the errors name.
fn declared(text: &str) -> Vec<(&str, &str)> {
    let constructors = ["Operation::read(", "Operation::once(", "Operation::repeatedly("];
    let arguments =
        constructors.iter().flat_map(|name| text.match_indices(name).map(|(at, _)| &text[at + name.len()..]));
    let strings = arguments.map(|arguments| arguments.split('"').take(4).collect::<Vec<_>>());
    strings.filter_map(|parts| Some((*parts.get(1)?, *parts.get(3)?))).collect()
}

/// The permission that an error names is the action that a policy must allow.
#[test]
fn errors_name_the_actions_of_their_operation() {
    let mut all = 0;
    for file in calls().keys().filter(|file| is_of_a_role(file)) {
        for (operation, permissions) in declared(&text(file)) {
            let of_parts = ACTIONS.iter().filter(|(name, _)| name.starts_with(&format!("{operation}.")));
            let mut actions: BTreeSet<&str> = of_parts.flat_map(|(_, actions)| actions.iter().copied()).collect();
            actions.extend(actions_of(operation));
            let named = actions_in(permissions);
            // A transaction need not contain every kind of action.
            let may_be_less = operation == "TransactWriteItems";
            let is_complete = actions.iter().all(|action| action.starts_with("kms:") || named.contains(*action));
            let is_right = named.iter().all(|action| actions.contains(action.as_str()));
            assert!(
                is_right && (is_complete || may_be_less),
                "{file}: {operation} needs {actions:?}, but its errors name {named:?}"
            );
            all += 1;
        }
    }
    assert!(all >= 20, "only {all} declared operations were found: has the way to declare them changed?");
}

/// The table of permissions in the documentation of `cloakroom-aws` lists the actions of the
/// policies.
#[test]
fn documented_permissions_are_those_of_the_policies() {
    let text = text("crates/cloakroom-aws/src/lib.rs");
    let policies = policies();
    for (role, policy) in [("endpoints", "EndpointPolicy"), ("provisioning", "ProvisionerPolicy")] {
        let rows = text.lines().filter(|line| line.starts_with(&format!("//! | {role} |")));
        let documented: BTreeSet<String> = rows.flat_map(actions_in).collect();
        let mut allowed = allowed(&policies[policy]);
        allowed.retain(|action| !action.starts_with("kms:"));
        assert_eq!(documented, allowed, "{role}");
    }
}
