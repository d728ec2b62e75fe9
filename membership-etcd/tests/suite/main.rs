//! Membership with real servers of etcd, which the tests start and stop themselves.

#![allow(clippy::unwrap_used, reason = "what helps a test may fail it")]

mod cluster;
mod life;
mod outages;
mod proxy;
mod server;
mod time;
