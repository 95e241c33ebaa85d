//! `shop-function` as processes behind an embedded Lambda: a function for each service, with faults.

use std::process::Stdio;

use cloakroom_local::{Function, FunctionSettings};
use cloakroom_shop::Service;
use tokio::process::{Child, Command};

use crate::scene::{Scene, trouble};

const BINARY: &str = env!("CARGO_BIN_EXE_shop-function");
const ORDERS: usize = 30;
/// The number of processes of each function, and so of concurrent invocations.
const PROCESSES: usize = 2;

/// Starts a process of a function. Dropping it kills the process.
fn process(scene: &Scene, function: &Function, service: Service) -> Child {
    let mut command = Command::new(BINARY);
    command.env_clear().envs(scene.environment()).envs(function.environment()).env("SHOP_SERVICE", service.name());
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("it starts")
}

async fn function(scene: &Scene, service: Service) -> Function {
    let settings = FunctionSettings { name: service.name().to_owned(), timeout_s: 5, ..FunctionSettings::default() };
    scene.aws.function(&format!("test-{service}"), settings).await.expect("a trigger")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_although_functions_crash() {
    let scene = Scene::set(trouble(), ORDERS).await;
    let (mut functions, mut processes) = (Vec::new(), Vec::new());
    for service in Service::ALL {
        let function = function(&scene, service).await;
        processes.extend((0..PROCESSES).map(|_| process(&scene, &function, service)));
        functions.push(function);
    }
    scene.submit_twice().await;
    scene.until_busy().await;
    for (number, dead) in processes.iter_mut().step_by(PROCESSES).enumerate() {
        // During an invocation.
        functions[number].until(|stats| stats.under_way > 0).await;
        dead.kill().await.expect("it is killed");
        *dead = process(&scene, &functions[number], Service::ALL[number]);
    }
    scene.until_balanced().await;
    assert!(functions.iter().all(|function| function.stats().succeeded > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_variable_is_named() {
    let wrong = [("SHOP_SERVICE", "stocks"), ("CLOAKROOM_BUCKET", "Shop")];
    for (name, value) in wrong {
        let mut command = Command::new(BINARY);
        command.env_clear().envs([("SHOP_SERVICE", "stock"), ("CLOAKROOM_TABLE", "shop")]);
        let output = command.env("CLOAKROOM_BUCKET", "payloads").env(name, value).output().await.expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && text.contains(&format!("`{name}`")) && text.contains(value),
            "{text}"
        );
    }
}
