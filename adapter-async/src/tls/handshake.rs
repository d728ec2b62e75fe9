//! The handshake, on any socket.

use std::io;

use rustls::{CertificateError, Connection, Error};

use super::identity::{Identity, Proved};
use super::session::{Opening, Sealing, Session};
use crate::connection::Side;
use crate::handshake::Failed;
use crate::outgoing::{Written, push};
use crate::runtime::{Reader, Writer};
use crate::sync::Arc;

/// Most bytes that are read of a peer before it has proved who it is: two flights, with a chain of some certificates.
const BYTES_MAX: usize = 32 * 1024;
/// Bytes that are read at once.
const READ: usize = 4096;
/// What the records of a handshake begin with: a kind (an alert or a message), and the version that all of TLS gives.
const RECORDS: [[u8; 2]; 2] = [[21, 3], [22, 3]];

/// A connection whose peer has proved itself to be somebody of this cluster.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) proved: Proved,
    pub(crate) opening: Opening,
    pub(crate) sealing: Sealing,
}

/// Can a stream that begins like this be TLS?
pub(crate) fn is_tls(beginning: &[u8]) -> bool {
    let is_like = |record: &[u8; 2]| beginning.iter().zip(record).all(|(given, expected)| given == expected);
    RECORDS.iter().any(is_like)
}

/// Runs the handshake to its end, after which everything that was sealed has left.
pub(crate) async fn shake_hands(
    identity: &Identity,
    side: Side,
    reader: &mut impl Reader,
    writer: &impl Writer,
) -> Result<Secured, Failed> {
    let mut connection = identity.begin(side).map_err(Failed::Garbled)?;
    let mut beginning = Vec::with_capacity(READ);
    let mut read = 0;
    loop {
        send(&mut connection, writer).await?;
        if !connection.is_handshaking() {
            break;
        }
        let mut bytes = [0; READ];
        let len = reader.read(&mut bytes).await?;
        read += len;
        if len == 0 {
            return Err(Failed::HungUp);
        }
        if beginning.len() < 4 {
            beginning.extend_from_slice(&bytes[..len]);
        }
        if let Err(error) = receive(&mut connection, &bytes[..len]) {
            say_why(&mut connection, writer);
            return Err(why(error, &beginning));
        }
        if read > BYTES_MAX {
            return Err(Failed::TooLong);
        }
    }
    let proved = Proved::by(&connection)?;
    let session = Arc::new(Session::new(connection));
    let (opening, sealing) = (Opening::new(Arc::clone(&session)), Sealing::new(session));
    Ok(Secured { proved, opening, sealing })
}

/// Sends what the handshake has to say. The two sides speak in turns, but for six bytes that an answer begins with and
/// that any socket holds, so nobody has to read meanwhile.
async fn send(connection: &mut Connection, writer: &impl Writer) -> Result<(), Failed> {
    let sealed = take(connection);
    let mut start = 0;
    loop {
        match push(writer, &sealed, &mut start) {
            Written::All => return Ok(()),
            Written::Broken => return Err(Failed::HungUp),
            Written::Part => writer.writable().await?,
        }
    }
}

/// Takes everything that TLS wants to send.
fn take(connection: &mut Connection) -> Vec<u8> {
    let mut sealed = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut sealed).expect("memory takes what it is given");
    }
    sealed
}

fn receive(connection: &mut Connection, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        match connection.read_tls(&mut bytes) {
            // The peer has said that it says no more.
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(Error::General(error.to_string())),
        }
        connection.process_new_packets()?;
    }
    Ok(())
}

/// Tells the peer, if its socket takes it, what it did wrong: that is what its operator will look for.
fn say_why(connection: &mut Connection, writer: &impl Writer) {
    let sealed = take(connection);
    let mut start = 0;
    // The connection ends either way.
    let _ = push(writer, &sealed, &mut start);
}

/// The reason by which a failure is counted.
fn why(error: Error, beginning: &[u8]) -> Failed {
    if lockmaster_core::wire::Frames::next_len(beginning).is_ok() {
        return Failed::OneSided;
    }
    refusal(error)
}

/// The reason by which an error of TLS is counted.
fn refusal(error: Error) -> Failed {
    if let Error::InvalidCertificate(reason) = &error {
        if is_about_time(reason) {
            return Failed::Expired(error);
        }
        if is_about_name(reason) {
            return Failed::Misnamed;
        }
        return Failed::Untrusted(error);
    }
    if matches!(error, Error::AlertReceived(_)) {
        return Failed::Rejected(error);
    }
    if matches!(error, Error::NoCertificatesPresented) {
        return Failed::Uncertified;
    }
    Failed::Garbled(error)
}

const fn is_about_time(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

const fn is_about_name(error: &CertificateError) -> bool {
    matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
}

/// The reason by which an error of reading a sealed connection is counted.
pub(crate) fn failed_read(error: io::Error) -> Failed {
    match error.downcast::<Error>() {
        Ok(error) => refusal(error),
        Err(error) => Failed::Io(error),
    }
}
