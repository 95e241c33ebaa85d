//! Tests of the commands, each as a process. They are one binary, so that tests that wait do so in
//! parallel.

mod bench;
mod demo;
mod doctor;
mod input;
mod interrupt;
mod readme;
mod recovery;
mod stranded;
