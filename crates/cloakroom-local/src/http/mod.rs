//! HTTP on loopback: listening, and the steps that are the same for all three services.

mod abandoned;
mod endpoint;
mod listener;
mod silence;

pub(crate) use endpoint::{Api, Completion, Endpoint, Request, Response};
pub(crate) use listener::{Listener, Server, listen};
pub(crate) use silence::Connections;
