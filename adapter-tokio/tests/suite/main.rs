//! Nodes in one process, over real sockets on the loopback interface.

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod transfers;
#[cfg(test)]
mod waiting;
