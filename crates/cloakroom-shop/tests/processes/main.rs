//! The binaries of the shop as processes on embedded AWS, with faults. All tests are one binary, since most of them wait
//! most of the time.

mod function;
mod scene;
mod service;
