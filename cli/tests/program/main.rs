//! The program as a user runs it: its processes, what they print, and their exit status.

#![cfg(test)]

mod bench;
mod common;
mod control;
mod demo;
#[cfg(feature = "etcd")]
mod etcd;
mod fake;
mod lock;
mod node;
mod terminal;
mod tls;
