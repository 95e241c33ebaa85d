//! HTTP on loopback: listening, and the steps that are the same for all three services.

mod endpoint;
mod listener;

pub(crate) use endpoint::{Api, Completion, Endpoint, Request, Response};
pub(crate) use listener::{Listener, Server, listen};
