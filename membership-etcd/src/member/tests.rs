//! The member against a small model of etcd: scripts for single rules, and clusters by lot.

mod acts;
mod desk;
mod engine;
mod founders;
mod ledger;
mod scripts;
mod seeds;
mod world;

use super::*;
