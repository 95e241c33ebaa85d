//! The binaries of the shop as processes on embedded AWS, in trouble. They are one test binary, since most of the time they wait.

mod function;
mod scene;
mod service;
