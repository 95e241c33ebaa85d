//! Policies against calls: neither may have what the other lacks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    calls::{called_by, calls, is_in},
    roles::{ACTIONS, Does, OF_NOBODY, OF_SERVICES, ROLES, Role},
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

/// What a policy allows.
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
    known.unwrap_or_else(|| panic!("{operation} is called: which actions does it need? Say so in ACTIONS")).1
}

/// The operations that a role calls, each with the module that calls it.
pub(crate) fn operations(role: &Role) -> BTreeMap<String, &'static str> {
    let each = role.calls.iter().flat_map(|does| match does {
        Does::All(module) => called_by(module).into_iter().map(|name| (name, *module)).collect::<Vec<_>>(),
        Does::Some(place, names) => names.iter().map(|&name| (name.to_owned(), *place)).collect(),
    });
    each.collect()
}

/// The actions that a role needs, each with what needs it.
fn needed(role: &Role) -> BTreeMap<String, String> {
    let each = |(operation, place): (String, &str)| {
        let actions = actions_of(&operation).iter();
        actions.map(|&action| (action.to_owned(), format!("{operation} in {place}"))).collect::<Vec<_>>()
    };
    operations(role).into_iter().flat_map(each).collect()
}

/// What a policy lacks, and what it allows for nothing.
fn differences(policy: &str, allowed: &BTreeSet<String>, needed: &BTreeMap<String, String>) -> Vec<String> {
    let lacking = needed.iter().filter(|(action, _)| !allowed.contains(*action));
    let lacking = lacking.map(|(action, why)| format!("{policy} lacks {action}, which is needed for {why}"));
    let idle = allowed.iter().filter(|action| !needed.contains_key(*action));
    lacking.chain(idle.map(|action| format!("{policy} allows {action}, which nothing calls"))).collect()
}

fn is_of_a_role(file: &str) -> bool {
    !OF_NOBODY.iter().any(|(module, _)| is_in(file, module))
}

/// Whether a role says that it does this.
fn does(role: &Role, operation: &str, file: &str) -> bool {
    role.calls.iter().any(|does| match does {
        Does::All(module) => is_in(file, module),
        Does::Some(module, names) => is_in(file, module) && names.contains(&operation),
    })
}

#[test]
fn every_call_is_that_of_a_role() {
    let of_a_role = calls().iter().filter(|(file, _)| is_of_a_role(file));
    let each = of_a_role.flat_map(|(file, operations)| operations.iter().map(move |operation| (operation, file)));
    let unclaimed = each.filter(|(operation, file)| !ROLES.iter().any(|role| does(role, operation, file)));
    let unclaimed: Vec<String> = unclaimed.map(|(operation, file)| format!("{operation} in {file}")).collect();
    assert!(unclaimed.is_empty(), "no role of ROLES does this: {unclaimed:#?}");
}

#[test]
fn no_role_claims_what_is_not_called() {
    let stale = ROLES.iter().flat_map(|role| role.calls).flat_map(|does| match does {
        Does::All(module) if called_by(module).is_empty() => vec![format!("{module} calls nothing")],
        Does::All(_) => Vec::new(),
        Does::Some(module, names) => {
            let called = called_by(module);
            let stale = names.iter().filter(|name| !called.contains(**name));
            stale.map(|name| format!("{module} does not call {name}")).collect()
        }
    });
    let idle = OF_NOBODY.iter().filter(|(module, _)| called_by(module).is_empty());
    let stale: Vec<String> = stale.chain(idle.map(|(module, _)| format!("{module} calls nothing"))).collect();
    assert!(stale.is_empty(), "{stale:#?}");
}

#[test]
fn policies_allow_what_is_called_and_nothing_else() {
    let policies = policies();
    let names: BTreeSet<&str> = ROLES.iter().map(|role| role.policy).collect();
    assert_eq!(policies.keys().map(String::as_str).collect::<BTreeSet<_>>(), names, "policies, and roles in ROLES");
    let differences = ROLES
        .iter()
        .flat_map(|role| differences(role.policy, &allowed(&policies[role.policy]), &needed(role)).into_iter());
    let differences: Vec<String> = differences.collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The check bites, whichever action of whichever policy is taken away, and whatever is put in.
#[test]
fn an_action_too_few_or_too_many_is_named() {
    let policies = policies();
    for role in ROLES {
        let needed = needed(role);
        let allowed = allowed(&policies[role.policy]);
        for action in &allowed {
            let mut fewer = allowed.clone();
            fewer.remove(action);
            let told = differences(role.policy, &fewer, &needed);
            assert!(matches!(&told[..], [one] if one.contains(&format!("lacks {action}, "))), "{told:?}");
        }
        let mut more = allowed.clone();
        more.insert("dynamodb:DeleteTable".to_owned());
        let told = differences(role.policy, &more, &needed);
        assert_eq!(told, [format!("{} allows dynamodb:DeleteTable, which nothing calls", role.policy)]);
    }
}

/// Whatever is allowed is allowed on what belongs to the application, and on what the action is about.
#[test]
fn nothing_is_allowed_on_everything() {
    for (policy, document) in policies() {
        for statement in statements(&document) {
            for (action, resource) in pairs(&texts(&statement["Action"]), &texts(&statement["Resource"])) {
                let (service, verb) = action.split_once(':').expect("a service and its action");
                let parts: Vec<&str> = resource.splitn(6, ':').collect();
                let name = parts.last().copied().unwrap_or_default();
                let is_ours = ["table/shop", "shop-", "key/"].iter().any(|start| name.starts_with(start));
                let is_about =
                    parts[2] == service && name.ends_with("/*") == (service == "s3" && verb.ends_with("Object"));
                assert!(is_ours && is_about && !verb.contains('*'), "{policy}: {action} on {resource}");
            }
        }
    }
}

fn pairs(one: &[String], other: &[String]) -> Vec<(String, String)> {
    one.iter().flat_map(|one| other.iter().map(move |other| (one.clone(), other.clone()))).collect()
}

/// Without a key of one's own, nothing is allowed on any.
#[test]
fn keys_are_used_only_where_there_is_one() {
    let template = Template::read("roles.yaml", &[("Application", "shop")]);
    for (policy, properties) in template.of_type("AWS::IAM::ManagedPolicy") {
        let allowed = allowed(&properties["PolicyDocument"]);
        assert!(!allowed.iter().any(|action| action.starts_with("kms:")), "{policy}: {allowed:?}");
    }
}

#[test]
fn other_templates_allow_what_services_of_aws_need() {
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
    let expected = OF_SERVICES.iter().map(|(name, resource, actions)| {
        ((*name).to_owned(), (*resource).to_owned(), actions.iter().map(|&action| action.to_owned()).collect())
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
}

/// Actions that a text mentions: `sqs:SendMessage`.
fn actions_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'));
    let is_action = |word: &&str| ["dynamodb:", "s3:", "sqs:"].iter().any(|service| word.starts_with(service));
    words.filter(is_action).map(str::to_owned).collect()
}

/// The operations that a source text declares for its errors, each with the permissions that these will name.
fn declared(text: &str) -> Vec<(&str, &str)> {
    let constructors = ["Operation::read(", "Operation::once(", "Operation::repeatedly("];
    let arguments =
        constructors.iter().flat_map(|name| text.match_indices(name).map(|(at, _)| &text[at + name.len()..]));
    let strings = arguments.map(|arguments| arguments.split('"').take(4).collect::<Vec<_>>());
    strings.filter_map(|parts| Some((*parts.get(1)?, *parts.get(3)?))).collect()
}

/// An error says which permission is lacking: it has to be the one that a policy would have.
#[test]
fn errors_name_the_actions_of_their_operation() {
    let mut all = 0;
    for file in calls().keys().filter(|file| is_of_a_role(file)) {
        for (operation, permissions) in declared(&text(file)) {
            let of_parts = ACTIONS.iter().filter(|(name, _)| name.starts_with(&format!("{operation}.")));
            let mut actions: BTreeSet<&str> = of_parts.flat_map(|(_, actions)| actions.iter().copied()).collect();
            actions.extend(actions_of(operation));
            let told = actions_in(permissions);
            // What a transaction holds need not be all that one may hold.
            let may_be_less = operation == "TransactWriteItems";
            let is_complete = actions.iter().all(|action| action.starts_with("kms:") || told.contains(*action));
            let is_right = told.iter().all(|action| actions.contains(action.as_str()));
            assert!(
                is_right && (is_complete || may_be_less),
                "{file}: {operation} needs {actions:?}, and names {told:?}"
            );
            all += 1;
        }
    }
    assert!(all >= 20, "only {all} operations were found: are they declared in another way now?");
}

/// The table of permissions in the documentation of `cloakroom-aws` says what the policies say.
#[test]
fn the_documented_permissions_are_those_of_the_policies() {
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
