use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_smithy_runtime_api::client::result::ConnectorError;

use crate::{
    aws::settings::AwsSettings,
    client::failure::{Operation, SdkError},
    scripted::{Script, dynamodb, s3, sqs},
};

use super::*;

fn diagnosis(settings: DiagnosisSettings) -> Result<Diagnosis, SettingsError> {
    let script = Script::new([]);
    let aws = Aws::new(dynamodb(&script), s3(&script), sqs(&script), AwsSettings::new("things", "coats"));
    Diagnosis::new(&aws.unwrap(), settings)
}

#[test]
fn missing_or_refused_credentials_are_one_finding_for_every_cause() {
    let diagnosis = diagnosis(DiagnosisSettings::default()).unwrap();
    let get = Operation::read("GetItem", "dynamodb:GetItem");
    for cause in [CredentialsError::not_loaded("there are none"), CredentialsError::provider_error("the session ended")]
    {
        let reason = cause.to_string();
        let error = SdkError::<GetItemError>::dispatch_failure(ConnectorError::other(cause.into(), None));
        let finding = diagnosis.failure_finding(Resource::Table, &get.failed("table `things`", error));
        assert_eq!(finding.problem, Problem::Credentials, "{reason}");
        assert!(finding.text.contains(&reason) && finding.fix.contains("AWS_PROFILE"), "{finding:?}");
    }
}

#[test]
fn invalid_setting_is_an_error_that_names_its_field() {
    let default = DiagnosisSettings::default;
    for (field, settings) in [
        ("queues", DiagnosisSettings { queues: vec!["a b".to_owned()], ..default() }),
        ("attempts_max", DiagnosisSettings { attempts_max: 0, ..default() }),
        ("attempts_max", DiagnosisSettings { attempts_max: 1_000, ..default() }),
        ("attempt_s_max", DiagnosisSettings { attempt_s_max: 0, ..default() }),
        ("lambda_timeout_s", DiagnosisSettings { lambda_timeout_s: Some(901), ..default() }),
        ("none", DiagnosisSettings { lambda_timeout_s: Some(900), ..default() }),
    ] {
        let at_fault = diagnosis(settings).map_or_else(|error| error.field().to_owned(), |_| "none".to_owned());
        assert_eq!(at_fault, field);
    }
}

fn of_queues(queues: &[&str]) -> DiagnosisSettings {
    let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
    DiagnosisSettings { queues, ..DiagnosisSettings::default() }
}

#[test]
fn printed_commands_repeat_the_options_of_the_account() {
    let plain = diagnosis(of_queues(&["orders", "stock"])).unwrap();
    let rest = "--table things --bucket coats --queue orders --queue stock --attempts-max 8";
    assert_eq!(plain.provision(""), format!("`cloakroom provision {rest}`"));
    let with = plain.with_command_options("--profile prod --region eu-west-1");
    assert_eq!(with.provision(""), format!("`cloakroom provision --profile prod --region eu-west-1 {rest}`"));
    assert!(with.provision_queue("stock", "").ends_with("--bucket coats --queue stock --attempts-max 8`"));
}

#[test]
fn printed_command_keeps_the_time_to_live_of_small_payloads() {
    let mut diagnosis = diagnosis(of_queues(&["orders"])).unwrap();
    diagnosis.aws.settings.payload_table = Some("slips".to_owned());
    assert!(!diagnosis.provision("").contains("--payload-ttl-days"), "it is the default");
    diagnosis.aws.settings.payload_ttl_days = 63;
    assert!(diagnosis.provision("").contains("--payload-table slips --payload-ttl-days 63"));
}

#[test]
fn low_receive_limit_is_reported_with_a_sufficient_proposal() {
    let with = |attempts_max| diagnosis(DiagnosisSettings { attempts_max, ..of_queues(&["orders"]) }).unwrap();
    for (attempts_max, queue, receives, proposed) in [
        (8, "orders", "9", None),
        (8, "orders", "8", Some(" --receives-max 16`")),
        (1, "orders", "5", None),
        (1, "orders", "4", Some(" --receives-max 16`")),
        (600, "orders", "600", Some(" --receives-max 1000`")),
        (8, "audit.fifo", "100", None),
        (8, "audit.fifo", "99", Some(" --queue audit.fifo --attempts-max 8 --receives-max 1000`")),
    ] {
        let finding = with(attempts_max).judge_receives(queue, queue, receives);
        let fix = finding.as_ref().map(|finding| finding.fix.as_str());
        let is_proposed = match (fix, proposed) {
            (Some(fix), Some(proposed)) => fix.ends_with(proposed),
            (fix, proposed) => fix == proposed,
        };
        assert!(is_proposed, "{attempts_max} attempts, {receives} receives: {finding:?}");
    }
    let finding = with(1).judge_receives("orders", "orders", "4").unwrap();
    assert!(finding.text.contains("a fresh copy after 4 receives"), "{finding:?}");
}

#[test]
fn diagnosis_future_is_send() {
    fn is_send(_: impl Send) {}
    is_send(diagnosis(DiagnosisSettings::default()).unwrap().run());
}

#[test]
fn clients_without_timeouts_are_a_warning_that_names_their_services() {
    let mut diagnosis = diagnosis(DiagnosisSettings::default()).unwrap();
    let warned = diagnosis.client_findings().remove(0);
    assert_eq!((warned.problem, warned.problem.severity()), (Problem::ClientTimeouts, Severity::Warning));
    assert!(warned.text.contains("DynamoDB, S3, SQS") && warned.fix.contains("operation_timeout"), "{warned:?}");
    assert!(diagnosis.aws.without_timeouts().is_empty(), "it does not wait forever itself");
    diagnosis.without_timeouts.clear();
    assert_eq!(diagnosis.client_findings(), []);
}
