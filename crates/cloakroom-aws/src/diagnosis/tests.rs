use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::*;
use crate::{
    AwsSettings,
    failure::{Operation, SdkError},
    scripted::{Script, dynamodb, s3, sqs},
};

fn diagnosis(settings: DiagnosisSettings) -> Result<Diagnosis, SettingsError> {
    let script = Script::new([]);
    let aws = Aws::new(dynamodb(&script), s3(&script), sqs(&script), AwsSettings::new("things", "coats"));
    Diagnosis::new(&aws.unwrap(), settings)
}

#[test]
fn whoever_has_no_credentials_is_told_so_whatever_the_reason() {
    let diagnosis = diagnosis(DiagnosisSettings::default()).unwrap();
    let get = Operation::read("GetItem", "dynamodb:GetItem");
    for cause in [CredentialsError::not_loaded("there are none"), CredentialsError::provider_error("the session ended")]
    {
        let told = cause.to_string();
        let error = SdkError::<GetItemError>::dispatch_failure(ConnectorError::other(cause.into(), None));
        let finding = diagnosis.trouble(Place::Table, &get.failed("table `things`", error));
        assert_eq!(finding.problem, Problem::Credentials, "{told}");
        assert!(finding.text.contains(&told) && finding.fix.contains("AWS_PROFILE"), "{finding:?}");
    }
}

#[test]
fn the_field_at_fault_is_named() {
    let default = DiagnosisSettings::default;
    for (field, settings) in [
        ("queues", DiagnosisSettings { queues: vec!["a b".to_owned()], ..default() }),
        ("attempts_max", DiagnosisSettings { attempts_max: 0, ..default() }),
        ("attempt_s_max", DiagnosisSettings { attempt_s_max: 0, ..default() }),
        ("lambda_timeout_s", DiagnosisSettings { lambda_timeout_s: Some(901), ..default() }),
        ("none", DiagnosisSettings { lambda_timeout_s: Some(900), ..default() }),
    ] {
        let at_fault = diagnosis(settings).map_or_else(|error| error.field().to_owned(), |_| "none".to_owned());
        assert_eq!(at_fault, field);
    }
}

#[test]
fn it_can_run_on_any_thread() {
    fn is_send(_: impl Send) {}
    is_send(diagnosis(DiagnosisSettings::default()).unwrap().run());
}

#[test]
fn clients_that_may_wait_forever_are_a_warning_that_names_their_services() {
    let mut diagnosis = diagnosis(DiagnosisSettings::default()).unwrap();
    let warned = diagnosis.client_findings().remove(0);
    assert_eq!((warned.problem, warned.problem.severity()), (Problem::ClientTimeouts, Severity::Warning));
    assert!(warned.text.contains("DynamoDB, S3, SQS") && warned.fix.contains("operation_timeout"), "{warned:?}");
    assert!(diagnosis.aws.without_timeouts().is_empty(), "it does not wait forever itself");
    diagnosis.without_timeouts.clear();
    assert_eq!(diagnosis.client_findings(), []);
}
