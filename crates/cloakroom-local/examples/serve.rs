//! Serves DynamoDB, S3 and SQS until Ctrl-C.
//!
//! ```sh
//! cargo run -p cloakroom-local --example serve -- 4501 4502 4503 data
//! ```
//!
//! The arguments are the ports of DynamoDB, S3 and SQS and, to keep what they are given, a
//! folder. Ports that are left out are chosen by the operating system.

use std::error::Error;

use cloakroom_local::LocalAws;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut builder = LocalAws::builder()
        .dynamodb_port(port(arguments.next())?)
        .s3_port(port(arguments.next())?)
        .sqs_port(port(arguments.next())?);
    if let Some(folder) = arguments.next() {
        builder = builder.folder(folder);
    }
    let aws = builder.start().await?;
    for (name, value) in aws.environment() {
        println!("export {name}={value}");
    }
    tokio::signal::ctrl_c().await?;
    eprintln!("{:#?}", aws.usage());
    aws.shutdown().await;
    Ok(())
}

fn port(argument: Option<String>) -> Result<u16, Box<dyn Error>> {
    let Some(argument) = argument else {
        return Ok(0);
    };
    argument.parse().map_err(|_| format!("`{argument}` is no port: give a number from 0 to 65535").into())
}
