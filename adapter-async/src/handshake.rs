//! Why a connection never began.

use std::io;

use lockmaster_core::Dropped;

use crate::stats::FailedHandshakes;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("the socket failed")]
    Io(#[from] io::Error),
    #[error("the peer hung up")]
    HungUp,
    #[error("the handshake was not over in time")]
    TimedOut,
    #[error("one side uses TLS and the other does not")]
    OneSided,
    #[error("no hello came first")]
    NoHello(#[from] Dropped),
    #[error("what came makes no sense as TLS")]
    Garbled(#[source] rustls::Error),
    #[error("more came than a handshake takes")]
    TooLong,
    #[error("the peer speaks another protocol inside TLS")]
    Foreign,
    #[error("the peer showed no certificate")]
    Uncertified,
    #[error("the peer's certificate is not valid now")]
    Expired(#[source] rustls::Error),
    #[error("the peer's certificate is not from an authority of this cluster")]
    Untrusted(#[source] rustls::Error),
    #[error("the peer's certificate is not that of the member it is to be")]
    Misnamed,
    #[error("the peer ended the handshake")]
    Rejected(#[source] rustls::Error),
    #[error("the hello is not of the member that is meant here")]
    Stranger,
    #[error("the node has begun another life since it said hello")]
    AnotherLife,
}

impl Failed {
    /// Counts it.
    pub(crate) const fn count(&self, failed: &mut FailedHandshakes) {
        let counter = match self {
            Self::Io(_) | Self::HungUp => &mut failed.unreachable,
            Self::TimedOut => &mut failed.timed_out,
            Self::OneSided => &mut failed.one_sided,
            Self::NoHello(_) | Self::Garbled(_) | Self::Foreign | Self::TooLong => &mut failed.garbled,
            Self::Uncertified => &mut failed.uncertified,
            Self::Expired(_) => &mut failed.expired,
            Self::Untrusted(_) => &mut failed.untrusted,
            Self::Misnamed => &mut failed.misnamed,
            Self::Rejected(_) => &mut failed.rejected,
            Self::Stranger => &mut failed.strangers,
            Self::AnotherLife => &mut failed.outlived,
        };
        *counter += 1;
    }
}
