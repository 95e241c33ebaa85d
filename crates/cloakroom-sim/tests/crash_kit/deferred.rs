//! Messages that their handler defers.

use cloakroom_sim::{CrashKit, crash_kit::FindingKind};

use super::{
    fails,
    library::{Buy, Reserve, builder},
    passes,
};

#[test]
fn deferred_message_without_effect_passes_the_kit() {
    passes(&CrashKit::new(|_| builder()).deferred(Reserve::of("Ada")).run());
}

#[test]
fn message_deferred_until_another_one_was_processed_passes_the_kit() {
    let report = CrashKit::new(|_| builder()).message(Buy::of("Emma")).deferred(Reserve::of("Ada")).runs_max(30).run();
    passes(&report);
    assert_eq!(report.to_string().matches("equal to one after the other").count(), 1, "{report}");
    passes(&CrashKit::new(|_| builder()).given(Buy::of("Emma")).message(Reserve::of("Ada")).run());
}

#[test]
fn kit_finds_an_unexpected_deferral() {
    let report = CrashKit::new(|_| builder()).message(Reserve::of("Ada")).run();
    fails(&report, FindingKind::Unexpected, &["was not accepted, but deferred", "`given`"]);
    let report = CrashKit::new(|_| builder()).refused(Reserve::of("Ada")).run();
    fails(&report, FindingKind::Unexpected, &["should be refused, and was deferred"]);
    let report = CrashKit::new(|_| builder()).deferred(Buy::of("Emma")).run();
    fails(&report, FindingKind::Unexpected, &["should be deferred, and was accepted"]);
}
