//! The verbs of the command, each as its own process: one binary, in which those that wait do so at the same time.

mod bench;
mod demo;
mod doctor;
mod input;
mod interrupt;
mod readme;
mod recovery;
mod stranded;
