//! One cluster of nodes that have nothing in common but the core and the wire: one on tokio, one on smol, and one that
//! plain threads drive.

#[cfg(test)]
mod by_hand;

#[cfg(test)]
mod clusters;
