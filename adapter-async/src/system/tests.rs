use std::net::{TcpListener, TcpStream};

use super::*;

#[test]
fn a_connection_is_prepared_and_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    prepare(&stream).unwrap();
    let socket = SockRef::from(&stream);
    assert!(socket.tcp_nodelay().unwrap());
    #[cfg(target_os = "linux")]
    {
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), PROBE_EVERY);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), PROBE_EVERY);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(SILENCE_MAX));
    }
    close(&stream);
    assert_eq!(io::Read::read(&mut &stream, &mut [0]).unwrap(), 0);
    // Once more, also when the other side was faster.
    drop(listener);
    close(&stream);
}
