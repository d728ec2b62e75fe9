//! The fuzz targets of Lockmaster, as plain functions of some bytes.
//!
//! Each of them takes any bytes, and panics if something is wrong with what they were fuzzed for. `libfuzzer/` has
//! libFuzzer around them; the tests of this package replay what was found, on any toolchain.
//!
//! | target | what it is about |
//! |---|---|
//! | [`decode`] | any bytes to everything that reads bytes |
//! | [`roundtrip`] | anything that can be said, written and read |
//! | [`node`] | one node among members that lie |
//! | [`cluster`] | bytes choose what happens to three simulated nodes |
//! | [`table`] | the tables of the core against plain models |
//! | [`canary`] | a bug that is there on purpose |

mod canary;
mod choices;
mod cluster;
mod decode;
mod node;
mod reserved;
mod roundtrip;
mod table;
mod words;
mod written;

pub use canary::canary;
pub use cluster::cluster;
pub use decode::decode;
pub use node::node;
pub use roundtrip::roundtrip;
pub use table::table;
